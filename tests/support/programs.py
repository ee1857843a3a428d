"""Seeded random integer programs with windows, for tests of every back-end; the plain ones are in the package."""

import numpy as np

from p2vit.bench.programs import (
    RandomProgram,
    RandomViT,
)
from p2vit.bench.programs import (
    random_pixels as random_pixels,
)
from p2vit.bench.programs import (
    zeros as zeros,
)
from p2vit.numerics import (
    Add,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    Patchify,
    ScoreBias,
    Scores,
    Softmax,
)
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing


def random_program(**options) -> IntegerProgram:
    """A plain ViT with random integers; the options are :class:`RandomProgram`'s."""
    return RandomProgram(**options).build()


def windows_index(rows: int, columns: int, side: int, shift: int) -> np.ndarray:
    """Token at each place of windows of ``side`` after padding and a cyclic shift; −1 for padding."""
    padded = [-(-n // side) * side for n in (rows, columns)]
    grid = np.full(padded, -1)
    grid[:rows, :columns] = np.arange(rows * columns).reshape(rows, columns)
    grid = np.roll(grid, (-shift, -shift), (0, 1))
    cut = grid.reshape(padded[0] // side, side, padded[1] // side, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1)


def windowed_program(
    *,
    image: tuple[int, int] = (20, 28),
    patch: int = 4,
    dim: int = 24,
    heads: int = 2,
    side: int = 3,
    shift: int = 1,
    probe: bool = True,
    form: str = "linear",
    weight_bits: int = 8,
    seed: int = 0,
) -> IntegerProgram:
    """Windows with padding, shift, bias and mask, then patch merging, then a pooling head with a constant query."""
    make = RandomViT(seed, weight_bits)
    rng = make.rng
    builder = ProgramBuilder((*image, 3))
    rows, columns = image[0] // patch, image[1] // patch
    builder.add("patches", Patchify(patch), [PIXELS], 0, offset=128)
    builder.add("stream", make.linear(patch * patch * 3, dim, -8, 16, 70.0), ["patches"], -8)
    norm, exponent = make.norm(dim)
    builder.add("norm1", norm, ["stream"], exponent)
    index = windows_index(rows, columns, side, shift)
    padded, n = bool((index < 0).any()), side * side
    windows = index.size // n
    softmax_shift = rng.integers(-1, 2, heads).astype(np.int8)
    scores = -12 - softmax_shift.astype(np.int64)
    exponents = {"q": np.repeat(scores + 6, dim // heads), "k": -6, "v": -4}
    source = "norm1"
    if not padded:
        gather = GatherTokens(index[:, None], np.zeros(dim, np.int8))
        source = builder.add("windows", gather, ["norm1"], exponent).name
    for name in "qkv":
        builder.add(f"attn.{name}", make.linear(dim, dim, exponents[name]), [source], exponents[name])
        if padded:
            fill = rng.integers(-128, 128, dim).astype(np.int8)
            gather = GatherTokens(index[:, None], fill)
            builder.add(f"windows.{name}", gather, [f"attn.{name}"], exponents[name])
    q, k, v = (f"windows.{name}" if padded else f"attn.{name}" for name in "qkv")
    builder.add("scores", Scores(heads, dim // heads, windows=windows), [q, k], scores[:, None, None])
    bias = rng.integers(-3000, 3000, (heads, n, n)).astype(np.int32)
    masked = -(dim // heads * 2**14 * 2 + 6000 + (65536 << np.maximum(softmax_shift.astype(np.int64), 0)))
    regions = rng.integers(0, 2, (windows, n)).astype(np.int8)
    bounded = ScoreBias(bias, regions, masked.astype(np.int32)) if shift else ScoreBias(bias)
    builder.add("biased", bounded, ["scores"], scores[:, None, None])
    builder.add("softmax", Softmax(softmax_shift, form), ["biased"], 0)
    narrow = rng.integers(-3, 1, dim).astype(np.int8)
    values = AttentionValues(heads, narrow, form, 14, windows=windows)
    builder.add("values", values, ["softmax", v], narrow - 4)
    back = np.full(rows * columns, -1)
    back[index[index >= 0]] = np.flatnonzero(index >= 0)
    builder.add("back", GatherTokens(back[:, None], np.zeros(dim, np.int8)), ["values"], narrow - 4)
    builder.add("proj", make.linear(dim, dim, -8, 16), ["back"], -8)
    builder.add("add1", Add(zeros(1), zeros(1), zeros(1)), ["stream", "proj"], -8)
    quads = windows_index(rows, columns, 2, 0).reshape(-1, 4)
    builder.add("merge.gather", GatherTokens(quads, np.zeros(dim, np.int16)), ["add1"], -8)
    norm, exponent = make.norm(4 * dim)
    builder.add("merge.norm", norm, ["merge.gather"], exponent)
    wide = 2 * dim
    builder.add("merge.reduction", make.linear(4 * dim, wide, -8, 16), ["merge.norm"], -8)
    norm, exponent = make.norm(wide)
    builder.add("norm2", norm, ["merge.reduction"], exponent)
    last = "norm2"
    if probe:
        tokens = rng.integers(-128, 128, (1, wide)).astype(np.int8)
        builder.add("pool.q", ConstantTokens(tokens), ["norm2"], np.repeat(scores + 6, wide // heads))
        for name in "kv":
            builder.add(f"pool.{name}", make.linear(wide, wide, exponents[name]), ["norm2"], exponents[name])
        query = Scores(heads, wide // heads)
        builder.add("pool.scores", query, ["pool.q", "pool.k"], scores[:, None, None])
        builder.add("pool.softmax", Softmax(softmax_shift, form), ["pool.scores"], 0)
        pooled = AttentionValues(heads, np.tile(narrow, 2), form)
        last = builder.add("pool.values", pooled, ["pool.softmax", "pool.v"], np.tile(narrow, 2) - 4).name
    builder.add("head", make.linear(wide, 5, -12, 32), [last], -12)
    preprocessing = Preprocessing(image_size=image, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return IntegerProgram(tuple(builder.nodes), builder.tensors, "head", last, preprocessing)


#: Arguments of `windowed_program` that together reach every branch of every back-end.
WINDOWED: list[dict[str, object]] = [
    {},
    {"form": "log2", "weight_bits": 4},
    {"image": (24, 24), "shift": 0, "probe": False},
    {"image": (24, 36), "shift": 1, "form": "log2", "seed": 3},
    {"image": (16, 28), "side": 7, "shift": 3, "dim": 42, "heads": 3},
]
