"""``onnx-integer``: the integer program as standard ONNX operators on integer tensors only.

The input is ``pixels``, uint8 [N, H, W, 3]; the output is ``logits``, the program's integers [N, classes].
Feature maps are outputs too, [N, rows, columns, C]. The integers equal the reference's, in runtimes
that compute int32 in float32 too, see :mod:`p2vit.export.onnx.integer.shifts`.
:mod:`p2vit.export.onnx.integer` has one file per operator.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from p2vit.export.onnx.common.exposed import exposed
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.maps import map_output
from p2vit.export.onnx.common.metadata import attach_metadata, model_metadata
from p2vit.export.onnx.integer import Lowering, lower
from p2vit.export.onnx.integer.matmul import ProductForm, expect_product_form
from p2vit.export.onnx.integer.values import Value
from p2vit.program.graph import PIXELS, IntegerProgram
from p2vit.program.ranges import proven_ranges

#: The first opset with BitwiseXor and with the axes of reductions as an input. Later ONNX Runtimes run it too.
INTEGER_OPSET, INTEGER_IR_VERSION = 18, 8
#: Name of the graph output for the logits.
LOGITS = "logits"


def build_onnx_integer(
    program: IntegerProgram,
    *,
    expose: Iterable[str] = (),
    products: ProductForm = "portable",
    program_sha256: str | None = None,
) -> Any:
    """Make an ONNX ``ModelProto`` of integer tensors from a program.

    Args:
        program: The program.
        expose: Names of program tensors that become graph outputs with their own names, [N, *shape] in the program's
            dtype; see :func:`p2vit.export.onnx.common.exposed.exposed`. A program tensor called ``logits`` replaces the
            output of that name. Feature maps are always outputs.
        products: Form of the int8 matrix products; see :mod:`p2vit.export.onnx.integer.matmul`.
        program_sha256: Hash of the program, recorded in the metadata.

    Returns:
        A model with the input ``pixels``, the output ``logits``, and an output per exposed tensor and feature map. The
        same arguments give the same bytes.

    Raises:
        P2vitError: ``expose`` has an unknown name, the form of products is unknown, or an operator has no lowering.
    """
    expect_product_form(products)
    names = exposed(program, expose)
    graph = OnnxGraph()
    maps = {each.name: each for each in program.maps}
    graph.reserve([LOGITS, *dict.fromkeys([*names, *maps])])
    pixels = graph.input(PIXELS, np.dtype(np.uint8), program.pixels.shape)
    ranges = {name: found.output for name, found in proven_ranges(program).items()}
    values = {PIXELS: Value(graph, program.pixels, stored=pixels)}
    for node in program.nodes:
        inputs = tuple(values[source] for source in node.inputs)
        values[node.name] = lower(Lowering(graph, program, node, inputs, products, ranges))
    output = values[program.output]
    if LOGITS not in names:
        graph.op("Reshape", output.stored, np.array([0, -1]), output=LOGITS)
        graph.output(LOGITS, output.spec.dtype, [int(np.prod(output.spec.shape))])
    for name in names:
        if name != PIXELS and name not in maps:
            graph.op("Identity", values[name].stored, output=name)
            graph.output(name, values[name].spec.dtype, values[name].spec.shape)
    for name, each in maps.items():
        map_output(graph, each, values[name].stored, values[name].spec.dtype, values[name].spec)
    model = graph.model("p2vit_integer", INTEGER_OPSET, INTEGER_IR_VERSION)
    attach_metadata(
        model, model_metadata(program, "onnx-integer", program_sha256) | {"p2vit.products": products}
    )
    return model
