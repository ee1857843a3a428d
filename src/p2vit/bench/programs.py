"""Seeded random integer programs of any size, for benchmarks and tests that need no trained model.

The graph is that of a ViT. The values use their whole width, and only some of them saturate.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from p2vit.export.onnx.qdq.activation import FUNCTIONS, function_table
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.numerics.lookup import TABLE_CHANNELS
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing


def zeros(n: int) -> np.ndarray:
    """Return zero shifts, int8 [n]."""
    return np.zeros(n, np.int8)


class RandomViT:
    """Builds a program layer by layer, with shifts that let values use their whole width."""

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
        """Return a linear layer whose outputs use their whole width.

        Args:
            inputs: Number of input channels.
            outputs: Number of output channels.
            exponent: Scale exponent of the output.
            output_bits: 8, 16, or 32 for the accumulators themselves.
            spread: Standard deviation of the integer inputs.
        """
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
        """Return a LayerNorm and the scale exponents of its output."""
        table, fraction = rsqrt_table(channels)
        exponent = np.full(channels, -5 if output_bits == 8 else -10)
        if output_bits == 8:
            exponent += self.rng.integers(-1, 2, channels)
        shift = fraction + squares_shift(channels) + exponent
        return LayerNorm(
            channels, zeros(channels), table, shift, 1 << 20, -2, output_bits=output_bits
        ), exponent


@dataclass(frozen=True)
class RandomProgram:
    """A ViT of any size with random integers.

    Attributes:
        image: Height and width in pixels, multiples of ``patch``.
        patch: Side of a patch in pixels.
        dim: Number of channels, a multiple of ``heads``.
        depth: Number of blocks.
        heads: Number of attention heads.
        mlp: Number of hidden channels of the MLP.
        classes: Number of outputs.
        prefix: Number of tokens before the patch tokens.
        pool: ``token`` for the first token, ``mean`` for the sum over the patch tokens.
        form: Form of the softmax: ``linear`` or ``log2``.
        weight_bits: Weight width, 2 to 8 bits.
        seed: Random seed.
    """

    image: tuple[int, int] = (8, 12)
    patch: int = 4
    dim: int = 48
    depth: int = 2
    heads: int = 3
    mlp: int = 80
    classes: int = 5
    prefix: int = 1
    pool: Literal["token", "mean"] = "token"
    form: Literal["linear", "log2"] = "linear"
    weight_bits: int = 8
    seed: int = 0

    def build(self) -> IntegerProgram:
        """Return the program. The same attributes give the same integers."""
        make = RandomViT(self.seed, self.weight_bits)
        rng = make.rng
        builder = ProgramBuilder((*self.image, 3))
        tokens = (self.image[0] // self.patch) * (self.image[1] // self.patch)
        builder.add("patches", Patchify(self.patch), [PIXELS], 0, offset=128)
        builder.add(
            "patch_embed", make.linear(self.patch * self.patch * 3, self.dim, -8, 16, 70.0), ["patches"], -8
        )
        first, position = (
            rng.integers(-2000, 2000, (n, self.dim)).astype(np.int16) for n in (self.prefix, tokens)
        )
        builder.add("tokens", AssembleTokens(first, position), ["patch_embed"], -8)
        stream = "tokens"
        for index in range(self.depth):
            at = f"blocks.{index}"
            norm, exponent = make.norm(self.dim)
            builder.add(f"{at}.norm1", norm, [stream], exponent)
            shift = rng.integers(-1, 2, self.heads).astype(np.int8)
            scores = -12 - shift.astype(np.int64)
            # The factor 1/√d adds 2 to the exponent. Each head has its own exponent of q.
            exponents: dict[str, np.ndarray | int] = {
                "q": np.repeat(scores + 6 + 2, self.dim // self.heads),
                "k": -6,
                "v": -4,
            }
            for name in "qkv":
                layer = make.linear(self.dim, self.dim, exponents[name])
                builder.add(f"{at}.attn.{name}", layer, [f"{at}.norm1"], exponents[name])
            product = Scores(self.heads, self.dim // self.heads, -2)
            builder.add(f"{at}.attn.scores", product, [f"{at}.attn.q", f"{at}.attn.k"], scores[:, None, None])
            builder.add(f"{at}.attn.softmax", Softmax(shift, self.form), [f"{at}.attn.scores"], 0)
            narrow = rng.integers(-3, 1, self.dim).astype(np.int8)
            values = AttentionValues(self.heads, narrow, self.form, guard=15 if tokens < 500 else 13)
            builder.add(f"{at}.attn.values", values, [f"{at}.attn.softmax", f"{at}.attn.v"], narrow - 4)
            builder.add(f"{at}.attn.proj", make.linear(self.dim, self.dim, -8, 16), [f"{at}.attn.values"], -8)
            builder.add(f"{at}.add1", Add(zeros(1), zeros(1), zeros(1)), [stream, f"{at}.attn.proj"], -8)
            norm, exponent = make.norm(self.dim)
            builder.add(f"{at}.norm2", norm, [f"{at}.add1"], exponent)
            builder.add(f"{at}.mlp.fc1", make.linear(self.dim, self.mlp, -5), [f"{at}.norm2"], -5)
            rectifier = np.clip(np.arange(-128, 128) * (np.arange(256) > 120), -128, 127)
            divisors = [n for n in range(1, 5) if self.mlp % n == 0]
            whole = self.mlp % TABLE_CHANNELS == 0
            groups = self.mlp // TABLE_CHANNELS if whole else int(rng.choice(divisors))
            table = rectifier >> np.arange(groups)[:, None] % 3
            exponent = np.repeat(np.arange(groups) % 3 - 5, self.mlp // groups)
            builder.add(f"{at}.mlp.gelu", Lookup(table.astype(np.int8)), [f"{at}.mlp.fc1"], exponent)
            builder.add(f"{at}.mlp.fc2", make.linear(self.mlp, self.dim, -8, 16), [f"{at}.mlp.gelu"], -8)
            stream = f"{at}.add2"
            builder.add(stream, Add(zeros(1), zeros(1), zeros(1)), [f"{at}.add1", f"{at}.mlp.fc2"], -8)
        if self.pool == "token":
            builder.add("pool", SelectToken(0), [stream], -8)
        else:
            builder.add("pool", SumTokens(self.prefix, tokens, np.full(1, 2, np.int8), 16), [stream], -6)
        norm, exponent = make.norm(self.dim, 16)
        builder.add("norm", norm, ["pool"], exponent)
        gain = rng.integers(100, 4000, self.dim).astype(np.int16)
        bias = rng.integers(-100000, 100000, self.dim).astype(np.int32)
        affine = Affine(
            gain, bias, np.full(self.dim, 16, np.int8), accumulator_exponent=np.full(self.dim, -21)
        )
        builder.add("feature", affine, ["norm"], -5)
        builder.add("head", make.linear(self.dim, self.classes, -12, 32), ["feature"], -12)
        preprocessing = Preprocessing(image_size=self.image, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        provenance = {"source": "random integers"}
        return IntegerProgram(
            tuple(builder.nodes), builder.tensors, "head", "feature", preprocessing, provenance=provenance
        )


def random_pixels(program: IntegerProgram, count: int, seed: int = 0) -> np.ndarray:
    """Return seeded random pixels for a program, uint8 [count, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *program.pixels.shape), dtype=np.uint8)


def meaningful_program(program: IntegerProgram, function: str = "gelu", offset: int = 0) -> IntegerProgram:
    """Return a random program with tables of a real function, and with the scale exponents that its shifts imply.

    Args:
        program: A program of :class:`RandomProgram`.
        function: Name of the activation function.
        offset: Offset of the tables' outputs. The bias of the next layer absorbs it, as in the quantizer.

    Raises:
        ValueError: A table cannot represent the function.
    """
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
            table = function_table(FUNCTIONS[function], source, target, operator.groups)
            if table is None:
                raise ValueError(f"{node.name}: there is no table of {function} between these exponents")
            operator = Lookup(table.astype(np.int8))
        if isinstance(operator, Linear) and np.any(source.offset):
            shift = (source.offset * operator.weight.astype(np.int64)).sum(axis=1)
            operator = dataclasses.replace(operator, bias=(operator.bias + shift).astype(np.int32))
        builder.add(node.name, operator, list(node.inputs), exponent, own_offset)
    return dataclasses.replace(program, nodes=tuple(builder.nodes), tensors=builder.tensors)
