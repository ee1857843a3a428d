"""What the export tests share: programs whose tables and exponents mean something, and ways to compare."""

import dataclasses
import math

import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.onnx.executor import open_session
from p2vit.export.onnx.integer.build import build_onnx_integer
from p2vit.export.onnx.qdq.activation import FUNCTIONS, function_table
from p2vit.numerics import LayerNorm, Linear, Lookup, SumTokens
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from support.programs import random_program


def meaningful_program(function: str = "gelu", offset: int = 0, **options) -> IntegerProgram:
    """A random program with tables made from a function and with the exponents that its shifts imply.

    ``offset`` is put on the table's output, and the following bias absorbs it, as the quantizer does.
    """
    program = random_program(**options)
    builder = ProgramBuilder(program.pixels.shape)
    for node in program.nodes:
        operator, spec = node.operator, program.tensors[node.name]
        exponent, own_offset = spec.exponent, spec.offset
        source = builder.tensors[node.inputs[0]]
        if isinstance(operator, LayerNorm):
            _, fraction = rsqrt_table(operator.channels)
            exponent = (operator.shift.astype(int) - fraction - squares_shift(operator.channels)).astype(
                np.int8
            )
        if isinstance(operator, SumTokens):
            exponent = source.exponent + operator.shift.astype(np.int8)
        if isinstance(operator, Lookup):
            own_offset = offset
            target = dataclasses.replace(spec, offset=offset)
            operator = Lookup(
                function_table(FUNCTIONS[function], source, target, operator.groups).astype(np.int8)
            )
        if isinstance(operator, Linear) and np.any(source.offset):
            shift = (source.offset * operator.weight.astype(np.int64)).sum(axis=1)
            operator = dataclasses.replace(operator, bias=(operator.bias + shift).astype(np.int32))
        builder.add(node.name, operator, list(node.inputs), exponent, own_offset)
    return dataclasses.replace(program, nodes=tuple(builder.nodes), tensors=builder.tensors)


def sqnr_db(exact: np.ndarray, approximate: np.ndarray) -> float:
    """Signal to noise in dB."""
    return 10 * math.log10(float((exact**2).sum()) / max(float(((exact - approximate) ** 2).sum()), 1e-300))


def mismatches(program: IntegerProgram, pixels: np.ndarray, **options) -> dict[str, int]:
    """Name → numbers that differ, over every tensor of the program."""
    names = [name for name in program.tensors if name != PIXELS]
    session = open_session(build_onnx_integer(program, expose=names, **options), threads=1)
    computed = dict(zip(names, session.run(names, {PIXELS: pixels}), strict=True))
    expected = ReferenceExecutor(program).run(pixels, names)
    found = {}
    for name in names:
        assert computed[name].dtype == expected[name].dtype, name
        assert computed[name].shape == expected[name].shape, name
        found[name] = int((computed[name] != expected[name]).sum())
    return {name: count for name, count in found.items() if count}
