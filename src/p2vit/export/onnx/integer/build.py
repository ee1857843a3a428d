"""``onnx-integer``: the integer program with standard ONNX operators on integer tensors only.

uint8 pixels [N, H, W, 3] in, logits [N, classes] out as the program's own integers, and feature maps
[N, rows, columns, C] where the program has them; bit-exact in ONNX Runtime against the reference executor. How each
operator is written is in :mod:`p2vit.export.onnx.integer`; how a rounding shift is written, in
:mod:`p2vit.export.onnx.integer.shifts`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.maps import map_output
from p2vit.export.onnx.common.metadata import attach_metadata, model_metadata
from p2vit.export.onnx.integer import Lowering, lower
from p2vit.export.onnx.integer.matmul import ProductForm, expect_product_form
from p2vit.export.onnx.integer.values import Value
from p2vit.program.graph import PIXELS, IntegerProgram

#: First opset whose reductions take their axes as an input and that has BitwiseXor; every later ONNX
#: Runtime runs it.
INTEGER_OPSET, INTEGER_IR_VERSION = 18, 8
#: Name of the graph output that every exported model has.
LOGITS = "logits"


def build_onnx_integer(
    program: IntegerProgram,
    *,
    expose: Iterable[str] = (),
    products: ProductForm = "portable",
    program_sha256: str | None = None,
) -> Any:
    """The program as an ONNX ``ModelProto`` of integer tensors.

    Args:
        program: What to write.
        expose: Names of program tensors that become graph outputs under their own names, [N, *shape] in the
            program's dtype. A tensor called ``logits`` then stands in the place of the output of that name. Feature
            maps are outputs in any case, with their grid as axes.
        products: How int8 matrix products are written; see :mod:`p2vit.export.onnx.integer.matmul`.
        program_sha256: Recorded in the metadata.

    Returns:
        A model with one input ``pixels`` and the outputs ``logits``, whatever is exposed, and the feature maps. The
        same arguments give the same bytes.

    Raises:
        P2vitError: an unknown name in ``expose``, an unknown form of products, an operator without a
            lowering.
    """
    expect_product_form(products)
    names = program.among(expose, "expose")
    graph = OnnxGraph()
    maps = {each.name: each for each in program.maps}
    graph.reserve([LOGITS, *dict.fromkeys([*names, *maps])])
    pixels = graph.input(PIXELS, np.dtype(np.uint8), program.pixels.shape)
    values = {PIXELS: Value(graph, program.pixels, stored=pixels)}
    for node in program.nodes:
        inputs = tuple(values[source] for source in node.inputs)
        values[node.name] = lower(Lowering(graph, program, node, inputs, products))
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
