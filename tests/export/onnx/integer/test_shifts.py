"""No operator that a runtime may compute in float32 meets a number that float32 does not hold."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from conformance.cases import TABLE
from p2vit.export.onnx.integer.build import build_onnx_integer
from p2vit.export.onnx.runtimes import open_session
from p2vit.program.graph import PIXELS

#: Operators that OpenVINO computes in float32.
FLOAT = ("Div", "GreaterOrEqual", "ReduceSum", "ReduceMax", "ReduceMin", "MatMulInteger")


def held(values):
    """Whether float32 holds the integers."""
    return np.array_equal(values.astype(np.float32).astype(np.int64), values.astype(np.int64))


def values_of(program):
    """The nodes, and name → value of every tensor, in ONNX Runtime without optimizations."""
    model = build_onnx_integer(program)
    inferred = onnx.shape_inference.infer_shapes(model)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(info for info in inferred.graph.value_info if info.name not in present)
    names = [output.name for output in model.graph.output]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *program.pixels.shape), dtype=np.uint8)
    values = dict(zip(names, open_session(model, threads=1).run(names, {PIXELS: pixels}), strict=True))
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    return model.graph.node, values | constants | {PIXELS: pixels}


@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_operands_and_results_are_within_float32(operator):
    nodes, values = values_of(TABLE[operator].program(0))
    # A quotient of a long division is checked by its remainder, so it may be one too large or too small.
    checked = {name for node in nodes if node.op_type == "Mul" for name in node.input}
    seen = 0
    for node in nodes:
        if node.op_type == "Clip":
            assert held(values[node.input[1]]), node.name
            assert held(values[node.input[2]]), node.name
        if node.op_type not in FLOAT or (node.op_type == "Div" and node.output[0] in checked):
            continue
        seen += 1
        operands = [values[name] for name in (*node.input, *node.output)]
        if node.op_type == "Div":
            assert not (operands[0] % operands[1]).any(), node.name
            # Larger quotients are clamped next, rounded or not.
            small = np.abs(operands[2]) < 1 << 24
            operands = [np.broadcast_to(each, small.shape)[small] for each in operands]
        for name, operand in zip((*node.input, *node.output), operands, strict=True):
            assert held(operand), f"{node.name}: {name}"
    moves = ("Patchify", "SelectToken", "GatherTokens", "ConstantTokens", "AssembleTokens", "Lookup")
    assert seen or operator.__name__ in moves


@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_nothing_is_fused_with_a_reduction_or_with_sums_beyond_float32(operator):
    nodes, values = values_of(TABLE[operator].program(0))
    readers = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in nodes:
        after = readers.get(node.output[0], [])
        if node.op_type.startswith("Reduce"):
            assert {reader.op_type for reader in after} == {"BitwiseAnd"}, node.name
        if node.op_type == "MatMulInteger":
            for reader in after:
                if reader.op_type in ("Add", "Max", "Min"):
                    assert held(values[reader.output[0]]), reader.name
