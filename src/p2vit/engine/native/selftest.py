"""Self-test of the kernels of an instruction set: tiny programs with full-range, all −128 and all 127 operands.

Some int8 instructions saturate intermediate sums, and some virtual machines emulate instructions wrongly. The self-test
compares every kernel with the reference.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.numerics import Add, AttentionValues, LayerNorm, Linear, Lookup, Patchify, Scores, Softmax
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing

HEADS, DIM, IMAGE, PATCH = 2, 40, (12, 28), 4


def small_program(fill: int | None, form: str, weight_bits: int) -> IntegerProgram:
    """Make a program of one attention block with odd sizes.

    Args:
        fill: Value of every weight; None for random weights over the full range.
        form: Form of the softmax, ``linear`` or ``log2``.
        weight_bits: Weight width, 8 or 4.
    """
    rng = np.random.default_rng(weight_bits)
    top = 1 << (weight_bits - 1)

    def linear(inputs: int, outputs: int, bits: int) -> Linear:
        weight = rng.integers(-top, top, (outputs, inputs))
        if fill is not None:
            weight[:] = max(-top, min(top - 1, fill))
        bias = rng.integers(-5000, 5000, outputs).astype(np.int32)
        return Linear(
            weight.astype(np.int8), bias, rng.integers(8, 13, outputs).astype(np.int8), weight_bits, bits
        )

    builder = ProgramBuilder((*IMAGE, 3))
    builder.add("patches", Patchify(PATCH), [PIXELS], 0)
    for name in "qkv":
        builder.add(name, linear(PATCH * PATCH * 3, DIM, 8), ["patches"], 0)
    builder.add("stream", linear(PATCH * PATCH * 3, DIM, 16), ["patches"], 0)
    builder.add("scores", Scores(HEADS, DIM // HEADS), ["q", "k"], 0)
    builder.add("softmax", Softmax(np.array([1, 2], np.int8), form), ["scores"], 0)  # type: ignore[arg-type]
    shift = rng.integers(-3, 1, DIM).astype(np.int8)
    builder.add("values", AttentionValues(HEADS, shift, form), ["softmax", "v"], 0)  # type: ignore[arg-type]
    builder.add("proj", linear(DIM, DIM, 16), ["values"], 0)
    same = np.zeros(1, np.int8)
    builder.add("add", Add(same, same, same), ["stream", "proj"], 0)
    table, fraction = rsqrt_table(DIM)
    norm_shift = np.full(DIM, fraction + squares_shift(DIM) - 5, np.int8)
    builder.add("norm", LayerNorm(DIM, np.zeros(DIM, np.int8), table, norm_shift, 1 << 10, -2), ["add"], 0)
    builder.add("fc1", linear(DIM, 128, 8), ["norm"], 0)
    builder.add("gelu", Lookup(rng.integers(-128, 128, (2, 256)).astype(np.int8)), ["fc1"], 0)
    builder.add("head", linear(128, 7, 8), ["gelu"], 0)
    return IntegerProgram(
        tuple(builder.nodes), builder.tensors, "head", "norm", Preprocessing(image_size=IMAGE)
    )


@cache
def cases() -> list[tuple[str, IntegerProgram, IntArray, dict[str, IntArray]]]:
    """Return the cases: name, program, pixels, and every tensor as the reference computes it."""
    return list(_cases())


def _cases() -> Iterator[tuple[str, IntegerProgram, IntArray, dict[str, IntArray]]]:
    rng = np.random.default_rng(0)
    full = rng.integers(0, 256, (1, *IMAGE, 3), dtype=np.uint8)
    for weight_bits, form in ((8, "linear"), (4, "log2")):
        for name, fill, pixels in (
            ("full range", None, full),
            ("all −128", -128, np.zeros_like(full)),
            ("all 127", 127, np.full_like(full, 255)),
            ("−128 × 127", -128, np.full_like(full, 255)),
        ):
            program = small_program(fill, form, weight_bits)
            expected = ReferenceExecutor(program).run(pixels, keep=[node.name for node in program.nodes])
            yield f"{name}, W{weight_bits}, {form}", program, pixels, expected
