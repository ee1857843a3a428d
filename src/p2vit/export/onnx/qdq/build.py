"""``onnx-qdq``: float operators between QuantizeLinear/DequantizeLinear pairs whose scales are exact
powers of two.

The form that ONNX Runtime, OpenVINO, TensorRT and NPU tool chains take. Weights are int8, symmetric, one
power of two per output channel (4-bit weights are stored as int8: INT4 tensors need opset 21, which
fewer tools read); 8-bit activations get one Q/DQ pair each, tensors of 16 and 32 bits stay float.
LayerNorm, softmax and GELU are their float operators, and QuantizeLinear rounds half to even: the result
is close to the integer program, not equal.
"""

from typing import Any

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.maps import map_output
from p2vit.export.onnx.common.metadata import attach_metadata, model_metadata
from p2vit.export.onnx.integer.build import LOGITS
from p2vit.export.onnx.qdq import FloatLowering, lower_float
from p2vit.export.onnx.qdq.values import Activations, FloatValue, QdqForm
from p2vit.program.graph import PIXELS, IntegerProgram

#: First opset with LayerNormalization: what the largest number of tools reads.
QDQ_OPSET, QDQ_IR_VERSION = 17, 8


def build_onnx_qdq(
    program: IntegerProgram,
    *,
    quantize: bool = True,
    quantize_probabilities: bool = False,
    activations: Activations = "int8",
    program_sha256: str | None = None,
) -> Any:
    """The program as an ONNX ``ModelProto`` in QDQ form.

    Args:
        program: What to write.
        quantize: Off writes the same graph in plain float, with the quantized weights: what speed is
            compared with.
        quantize_probabilities: Also quantize the softmax's output, uint8 relative to 1. For tools that
            want an integer attention × V; costs accuracy, which is why the integer program quantizes
            relative to each row's maximum.
        activations: ``int8``, or ``uint8`` with zero point 128 for the same numbers: faster in ONNX Runtime
            on x86, which has no int8 × int8 kernels there.
        program_sha256: Recorded in the metadata.

    Returns:
        A model with uint8 ``pixels`` [N, H, W, 3] in and float ``logits`` [N, classes] out, in real units, and every
        feature map under its own name, float [N, rows, columns, C].

    Raises:
        P2vitError: naming the node: a table that is no known function, an offset that no zero point can hold.
    """
    form = QdqForm(quantize, quantize_probabilities, activations)
    graph = OnnxGraph()
    graph.reserve([LOGITS, *(each.name for each in program.maps)])
    pixels = graph.input(PIXELS, np.dtype(np.uint8), program.pixels.shape)
    values = {PIXELS: FloatValue(program.pixels, pixels, 0)}
    for node in program.nodes:
        inputs = tuple(values[source] for source in node.inputs)
        at = FloatLowering(graph, program, node, inputs, form)
        values[node.name] = lower_float(at)
    output = values[program.output]
    graph.op("Reshape", output.real(graph), np.array([0, -1]), output=LOGITS)
    graph.output(LOGITS, np.dtype(np.float32), [int(np.prod(output.spec.shape))])
    for each in program.maps:
        found = values[each.name]
        map_output(graph, each, found.real(graph), np.dtype(np.float32), found.spec)
    model = graph.model("p2vit_qdq", QDQ_OPSET, QDQ_IR_VERSION)
    attach_metadata(model, model_metadata(program, "onnx-qdq" if quantize else "onnx-float", program_sha256))
    return model
