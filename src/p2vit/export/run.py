"""One call for every export format: build, check, write, and run both sides on the same images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.c.compile import differing
from p2vit.export.c.write import WeightForm, build_c, c_place, flash_bytes, write_c
from p2vit.export.onnx.common.check import check_model, expect_integers_only, inspect_model
from p2vit.export.onnx.common.model_file import (
    LARGEST_SINGLE_FILE,
    constant_bytes,
    save_model,
    without_constants,
)
from p2vit.export.onnx.common.optional import onnx
from p2vit.export.onnx.executor import exact_products, open_session
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.integer.matmul import ProductForm
from p2vit.export.onnx.qdq.build import build_onnx_qdq
from p2vit.export.onnx.qdq.values import Activations
from p2vit.export.vectors import Encoding, vectors_place, write_vectors
from p2vit.files import check_output, one_writer
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, TensorSpec

ExportFormat = Literal["onnx-integer", "onnx-qdq", "c", "vectors"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
#: Constants that type inference may look into: shapes, axes; not weights.
LARGEST_INFERRED_CONSTANT = 1 << 16


def noise_pixels(program: IntegerProgram, images: int, seed: int = 0) -> IntArray:
    """Seeded random photos, uint8 [images, H, W, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (images, *program.pixels.shape), dtype=np.uint8)


@dataclass(frozen=True)
class ExportForm:
    """How a format is written.

    Attributes:
        products: ``onnx-integer`` only: products that are exact on every CPU, or faster ones that are exact on CPUs
            with VNNI and on Arm.
        expose: ``onnx-integer`` only: tensors of the program that become outputs.
        quantize_probabilities: ``onnx-qdq`` only: quantize the softmax's output too; costs accuracy.
        activations: ``onnx-qdq`` only: symmetric ``int8``, or the same numbers as ``uint8``.
        encoding: ``vectors`` only: file format.
        weights: ``c`` only: weights as a C ``array``, as a ``binary`` file, or ``auto`` by their size.
    """

    products: ProductForm = "portable"
    expose: tuple[str, ...] = ()
    quantize_probabilities: bool = False
    activations: Activations = "int8"
    encoding: Encoding = "npy"
    weights: WeightForm = "auto"


@one_writer("file")
def run_export(
    program: IntegerProgram,
    export_format: str,
    file: Path,
    form: ExportForm = ExportForm(),
    *,
    pixels: IntArray,
    program_sha256: str | None = None,
    overwrite: bool = False,
    largest: int = LARGEST_SINGLE_FILE,
) -> dict[str, Any]:
    """Export a program, then run the written file and the program on the same images.

    Args:
        program: What to export.
        export_format: ``onnx-integer``, ``onnx-qdq``, ``c`` or ``vectors``.
        file: ``*.onnx``; a folder for ``c`` and ``vectors``.
        form: How the format is written.
        pixels: uint8 [B, H, W, 3] to compare on; see :func:`noise_pixels`.
        program_sha256: Recorded in what is written.
        overwrite: Replace what p2vit wrote there.
        largest: Bytes of constants above which a model's weights go into a file beside it.

    Returns:
        ``file``, ``format``, ``files`` (all written), ``opset``, ``images``, ``max_abs_diff``: the
        largest difference of the logits; of the integers for ``onnx-integer``, of real values for
        ``onnx-qdq``; and, for ONNX, ``operators`` (type → count), ``float_tensors``, and ``max_abs_diff_maps``
        (feature map → largest difference) where the program has any. ``vectors`` have opset and max_abs_diff None.
        ``c`` has opset None and its sizes, and max_abs_diff where a C compiler is
        found: 0, or the export is refused.

    Raises:
        P2vitError: an unknown format, a file that exists, a program that the format cannot hold.
    """
    if export_format not in FORMATS:
        raise P2vitError(f"format is {export_format!r}; allowed are {', '.join(FORMATS)}")
    if form.expose and export_format != "onnx-integer":
        raise P2vitError(
            f"expose gives tensors out of onnx-integer, not of {export_format}; leave it away, or choose that format"
        )
    if export_format == "vectors":
        vectors_place(file, overwrite).check()
    elif export_format == "c":
        c_place(file, overwrite).check()
    else:
        check_output(file, overwrite)
    executor = ReferenceExecutor(program)
    report: dict[str, Any] = {"file": str(file), "format": export_format, "images": len(pixels)}
    if export_format == "vectors":
        write_vectors(
            program,
            pixels,
            file,
            encoding=form.encoding,
            executor=executor,
            program_sha256=program_sha256,
            overwrite=overwrite,
        )
        return report | {"files": [str(file)], "opset": None, "max_abs_diff": None}
    if export_format == "c":
        return report | run_c(program, file, form, pixels, program_sha256, overwrite)
    if export_format == "onnx-integer":
        model = build_onnx_integer(
            program, expose=form.expose, products=form.products, program_sha256=program_sha256
        )
    else:
        model = build_onnx_qdq(
            program,
            quantize_probabilities=form.quantize_probabilities,
            activations=form.activations,
            program_sha256=program_sha256,
        )
    inspected = inspect_model(structure_only(model))
    if export_format == "onnx-integer":
        expect_integers_only(inspected)
        exact_products(form.products)
    files = save_checked(model, file, overwrite=overwrite, largest=largest)
    return report | {
        "files": [str(path) for path in files],
        "opset": inspected.opset,
        **differences(program, file, pixels, executor, export_format),
        "operators": inspected.operators,
        "float_tensors": len(inspected.float_tensors),
    }


def run_c(
    program: IntegerProgram,
    folder: Path,
    form: ExportForm,
    pixels: IntArray,
    program_sha256: str | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Write C, after it was compiled here and gave the reference's integers.

    Raises:
        P2vitError: it does not compile here, or computes something else.
    """
    export = build_c(
        program, pixels, ReferenceExecutor(program), weights=form.weights, program_sha256=program_sha256
    )
    wrong = differing(export)
    if wrong:
        raise P2vitError(
            f"the C program computes {wrong} outputs otherwise than the reference on this machine's compiler, so it is "
            "not written; please report it, and try another compiler with the variable CC"
        )
    files = write_c(export, folder, overwrite)
    return {
        "files": [str(path) for path in files],
        "opset": None,
        "max_abs_diff": wrong,
        **export.sizes,
        "flash_bytes": flash_bytes(export.sizes),
    }


def save_checked(model: Any, file: Path, *, overwrite: bool, largest: int) -> list[Path]:
    """Write a model that the ONNX checker passes; one with external data is checked where it lies."""
    if constant_bytes(model) <= largest:
        check_model(model)
        return save_model(model, file, overwrite=overwrite, largest=largest)
    return save_model(model, file, overwrite=overwrite, largest=largest, check=check_model)


def structure_only(model: Any) -> Any:
    """A copy whose large constants are graph inputs: small enough for type inference in any case."""
    copy = without_constants(model)
    for constant in model.graph.initializer:
        if len(constant.raw_data) > LARGEST_INFERRED_CONSTANT:
            shape = list(constant.dims)
            copy.graph.input.append(
                onnx().helper.make_tensor_value_info(constant.name, constant.data_type, shape)
            )
        else:
            copy.graph.initializer.append(constant)
    return copy


def differences(
    program: IntegerProgram, file: Path, pixels: IntArray, executor: Executor, export_format: str
) -> dict[str, Any]:
    """Largest differences between a written model and the program, over some images.

    Returns:
        ``max_abs_diff``, of the logits, and ``max_abs_diff_maps``, by the name of each feature map; the latter only
        where the program has any.
    """
    names = [each.name for each in program.maps]
    exported = open_session(file).run([LOGITS, *names], {PIXELS: np.ascontiguousarray(pixels)})
    integers = executor.run(pixels)
    integers |= {each.name: each.spatial(integers[each.name]) for each in program.maps}
    integer = export_format == "onnx-integer"
    found = [
        largest_difference(program.tensors[name], integers[name], theirs, integer)
        for name, theirs in zip([program.output, *names], exported, strict=True)
    ]
    report: dict[str, Any] = {"max_abs_diff": found[0]}
    if names:
        report["max_abs_diff_maps"] = dict(zip(names, found[1:], strict=True))
    return report


def largest_difference(spec: TensorSpec, ours: IntArray, exported: Any, integer: bool) -> int | float:
    """Largest difference of one output, of its integers or of the real values that they stand for."""
    if integer:
        return int(np.abs(exported.astype(np.int64) - ours.reshape(exported.shape).astype(np.int64)).max())
    return float(np.abs(exported - spec.real(ours).reshape(exported.shape)).max())
