"""``onnx-qdq``: float operators between QuantizeLinear/DequantizeLinear pairs with power-of-two scales.

ONNX Runtime, OpenVINO, TensorRT and NPU tool chains read this form. Weights are symmetric int8 with one power of two
per output channel. 4-bit weights are also stored as int8, because INT4 tensors need opset 21, which fewer tools read.
Each 8-bit activation gets a Q/DQ pair; tensors of 16 and 32 bits stay float. LayerNorm, softmax and GELU are float
operators, and QuantizeLinear rounds half to even. The result is therefore close to the integer program, but not
equal.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.exposed import exposed
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.maps import map_output
from p2vit.export.onnx.common.metadata import attach_metadata, model_metadata
from p2vit.export.onnx.integer.build import LOGITS
from p2vit.export.onnx.qdq import FloatLowering, lower_float
from p2vit.export.onnx.qdq.values import Activations, FloatValue, QdqForm
from p2vit.numerics import Softmax
from p2vit.program.graph import PIXELS, IntegerProgram

#: The first opset with LayerNormalization; more tools read it than later ones.
QDQ_OPSET = 17
#: The first opset with a scale per channel, and the last with which ONNX Runtime 1.32 opens every model.
OPSETS = (13, 20)


def expect_opset(opset: int) -> None:
    """Check that an opset can be written.

    Raises:
        P2vitError: It cannot.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise P2vitError(f"opset is {opset}; onnx-qdq is written in opsets {OPSETS[0]} to {OPSETS[1]}")


def ir_version(opset: int) -> int:
    """Return the format version that came with an opset, so that old tools read old opsets."""
    return 7 if opset < 15 else 8 if opset < 19 else 9


def build_onnx_qdq(
    program: IntegerProgram,
    *,
    quantize: bool = True,
    quantize_probabilities: bool = False,
    activations: Activations = "int8",
    expose: Iterable[str] = (),
    opset: int = QDQ_OPSET,
    program_sha256: str | None = None,
) -> Any:
    """Make an ONNX ``ModelProto`` of a program in QDQ form.

    Args:
        program: The program.
        quantize: Write Q/DQ pairs. Without them, the graph is plain float with the quantized weights; it serves for
            comparisons of speed.
        quantize_probabilities: Also quantize the softmax's output, as uint8 relative to 1. Some tools need it for an
            integer attention × V. It costs accuracy; the integer program avoids it with codes relative to each row's
            maximum.
        activations: ``int8``, or ``uint8`` with zero point 128 for the same numbers. ``uint8`` is faster in ONNX
            Runtime on x86, which has no int8 × int8 kernels there.
        expose: Names of program tensors that become outputs under their own names, float32 [N, *shape], in real units;
            see :func:`p2vit.export.onnx.common.exposed.exposed`.
        opset: 13 to 20. Below 17, LayerNormalization is written out.
        program_sha256: Hash of the program, recorded in the metadata.

    Returns:
        A model with the input ``pixels``, uint8 [N, H, W, 3], and the output ``logits``, float32 [N, classes], in real
        units. Feature maps are outputs too, float32 [N, rows, columns, C].

    Raises:
        P2vitError: A table is no known function, an offset does not fit a zero point, or a tensor cannot be exposed.
            The message names the node.
    """
    expect_opset(opset)
    form = QdqForm(quantize, quantize_probabilities, activations, opset)
    names = exposed(program, expose)
    graph = OnnxGraph()
    maps = {each.name: each for each in program.maps}
    graph.reserve([LOGITS, *dict.fromkeys([*names, *maps])])
    pixels = graph.input(PIXELS, np.dtype(np.uint8), program.pixels.shape)
    values = {PIXELS: FloatValue(program.pixels, pixels, 0)}
    for node in program.nodes:
        inputs = tuple(values[source] for source in node.inputs)
        at = FloatLowering(graph, program, node, inputs, form)
        values[node.name] = lower_float(at)
    output = values[program.output]
    if LOGITS not in names:
        graph.op("Reshape", output.real(graph), np.array([0, -1]), output=LOGITS)
        graph.output(LOGITS, np.dtype(np.float32), [int(np.prod(output.spec.shape))])
    for name in names:
        if name != PIXELS and name not in maps:
            if isinstance(program.node(name).operator, Softmax):
                raise P2vitError(
                    f"expose names {name!r}, the codes of a softmax, which onnx-qdq does not have: its probabilities "
                    "are relative to 1. Expose it in onnx-integer"
                )
            graph.op("Identity", values[name].real(graph), output=name)
            graph.output(name, np.dtype(np.float32), values[name].spec.shape)
    for name, each in maps.items():
        map_output(graph, each, values[name].real(graph), np.dtype(np.float32), values[name].spec)
    model = graph.model("p2vit_qdq", opset, ir_version(opset))
    attach_metadata(model, model_metadata(program, "onnx-qdq" if quantize else "onnx-float", program_sha256))
    return model
