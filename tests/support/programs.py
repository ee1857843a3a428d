"""Seeded random integer programs, for tests of every back-end: the graph of a ViT with random integers."""

import math

import numpy as np

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.int8)


class RandomViT:
    """Builds a program layer by layer; shifts let values fill their width without all saturating."""

    def __init__(self, seed: int, weight_bits: int = 8) -> None:
        self.rng = np.random.default_rng(seed)
        self.weight_bits = weight_bits

    def linear(
        self,
        inputs: int,
        outputs: int,
        exponent: np.ndarray | int,
        output_bits: int = 8,
        spread: float = 40.0,
    ) -> Linear:
        top = (1 << (self.weight_bits - 1)) - 1
        weight = self.rng.integers(-top - 1, top + 1, (outputs, inputs)).astype(np.int8)
        deviation = math.sqrt(inputs) * top / math.sqrt(3) * spread
        if output_bits == 32:
            shift = zeros(outputs)
        else:
            goal = 40 if output_bits == 8 else 1500
            shift = (round(math.log2(deviation / goal)) + self.rng.integers(-1, 2, outputs)).astype(np.int8)
        bias = self.rng.integers(-int(deviation), int(deviation) + 1, outputs).astype(np.int32)
        accumulator = np.broadcast_to(exponent - shift.astype(np.int64), outputs)
        return Linear(weight, bias, shift, self.weight_bits, output_bits, accumulator)

    def norm(self, channels: int, output_bits: int = 8) -> tuple[LayerNorm, np.ndarray]:
        """A norm and the exponents of its output."""
        table, fraction = rsqrt_table(channels)
        exponent = np.full(channels, -5 if output_bits == 8 else -10)
        if output_bits == 8:
            exponent += self.rng.integers(-1, 2, channels)
        shift = fraction + squares_shift(channels) + exponent
        return LayerNorm(
            channels, zeros(channels), table, shift, 1 << 20, -2, output_bits=output_bits
        ), exponent


def random_program(
    *,
    image: tuple[int, int] = (8, 12),
    patch: int = 4,
    dim: int = 48,
    depth: int = 2,
    heads: int = 3,
    mlp: int = 80,
    classes: int = 5,
    prefix: int = 1,
    pool: str = "token",
    form: str = "linear",
    weight_bits: int = 8,
    seed: int = 0,
) -> IntegerProgram:
    """A whole ViT of any size with random integers."""
    make = RandomViT(seed, weight_bits)
    rng = make.rng
    builder = ProgramBuilder((*image, 3))
    tokens = (image[0] // patch) * (image[1] // patch)
    builder.add("patches", Patchify(patch), [PIXELS], 0, offset=128)
    builder.add("patch_embed", make.linear(patch * patch * 3, dim, -8, 16, 70.0), ["patches"], -8)
    constants = [rng.integers(-2000, 2000, (n, dim)).astype(np.int16) for n in (prefix, tokens)]
    builder.add("tokens", AssembleTokens(*constants), ["patch_embed"], -8)
    stream = "tokens"
    for index in range(depth):
        at = f"blocks.{index}"
        norm, exponent = make.norm(dim)
        builder.add(f"{at}.norm1", norm, [stream], exponent)
        shift = rng.integers(-1, 2, heads).astype(np.int8)
        scores = -12 - shift.astype(np.int64)
        # 1/√d leaves two powers of two to the exponent; each head has its own exponent of q.
        exponents = {"q": np.repeat(scores + 6 + 2, dim // heads), "k": -6, "v": -4}
        for name in "qkv":
            exponent = exponents[name]
            builder.add(f"{at}.attn.{name}", make.linear(dim, dim, exponent), [f"{at}.norm1"], exponent)
        product = Scores(heads, dim // heads, -2)
        builder.add(f"{at}.attn.scores", product, [f"{at}.attn.q", f"{at}.attn.k"], scores[:, None, None])
        builder.add(f"{at}.attn.softmax", Softmax(shift, form), [f"{at}.attn.scores"], 0)
        narrow = rng.integers(-3, 1, dim).astype(np.int8)
        values = AttentionValues(heads, narrow, form, guard=15 if tokens < 500 else 13)
        builder.add(f"{at}.attn.values", values, [f"{at}.attn.softmax", f"{at}.attn.v"], narrow - 4)
        builder.add(f"{at}.attn.proj", make.linear(dim, dim, -8, 16), [f"{at}.attn.values"], -8)
        builder.add(f"{at}.add1", Add(zeros(1), zeros(1), zeros(1)), [stream, f"{at}.attn.proj"], -8)
        norm, exponent = make.norm(dim)
        builder.add(f"{at}.norm2", norm, [f"{at}.add1"], exponent)
        builder.add(f"{at}.mlp.fc1", make.linear(dim, mlp, -5), [f"{at}.norm2"], -5)
        rectifier = np.clip(np.arange(-128, 128) * (np.arange(256) > 120), -128, 127)
        groups = mlp // 64 if mlp % 64 == 0 else int(rng.choice([n for n in range(1, 5) if mlp % n == 0]))
        table = rectifier >> np.arange(groups)[:, None] % 3
        exponent = np.repeat(np.arange(groups) % 3 - 5, mlp // groups)
        builder.add(f"{at}.mlp.gelu", Lookup(table.astype(np.int8)), [f"{at}.mlp.fc1"], exponent)
        builder.add(f"{at}.mlp.fc2", make.linear(mlp, dim, -8, 16), [f"{at}.mlp.gelu"], -8)
        stream = f"{at}.add2"
        builder.add(stream, Add(zeros(1), zeros(1), zeros(1)), [f"{at}.add1", f"{at}.mlp.fc2"], -8)
    if pool == "token":
        builder.add("pool", SelectToken(0), [stream], -8)
    else:
        builder.add("pool", SumTokens(prefix, tokens, np.full(1, 2, np.int8), 16), [stream], -6)
    norm, exponent = make.norm(dim, 16)
    builder.add("norm", norm, ["pool"], exponent)
    gain = rng.integers(100, 4000, dim).astype(np.int16)
    bias = rng.integers(-100000, 100000, dim).astype(np.int32)
    affine = Affine(gain, bias, np.full(dim, 16, np.int8), accumulator_exponent=np.full(dim, -21))
    builder.add("feature", affine, ["norm"], -5)
    builder.add("head", make.linear(dim, classes, -12, 32), ["feature"], -12)
    preprocessing = Preprocessing(image_size=image, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    provenance = {"source": "random integers"}
    return IntegerProgram(
        tuple(builder.nodes), builder.tensors, "head", "feature", preprocessing, provenance=provenance
    )


def random_pixels(program: IntegerProgram, count: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *program.pixels.shape), dtype=np.uint8)


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
