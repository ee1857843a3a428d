"""Workload of several images at once: their rows follow one another, so that weights are fetched once for all."""

from dataclasses import replace

from p2vit.accel.workload.operations import Operation, Workload

#: Kinds of operations on the heads of one image. A further image is a further instance, like a further window.
_PER_HEAD = ("scores", "score_bias", "softmax", "attention_values", "rotary")


def batched(workload: Workload, images: int) -> Workload:
    """Make the workload of a batch.

    Args:
        workload: Workload of one image.
        images: Number of images.

    Returns:
        Workload with as many rows, or instances of attention, as all images have. Weights and tables count once,
        pixels and position constants for every image.
    """
    if images == 1:
        return workload
    operations = tuple(_of_all(op, images) for op in workload.operations)
    return Workload(
        workload.name, operations, workload.input_bytes * images, workload.constant_bytes * images, images
    )


def _of_all(op: Operation, images: int) -> Operation:
    if op.kind in _PER_HEAD:
        return replace(op, instances=op.instances * images)
    return replace(op, rows=op.rows * images)
