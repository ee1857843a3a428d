"""A quantized model becomes an integer program: exponents become shifts, grids become tables and widths."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import activate
from p2vit.models.config import Activation
from p2vit.numerics import (
    Add,
    AssembleTokens,
    AttentionValues,
    Linear,
    Lookup,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.rounding import storage_dtype
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from p2vit.quant.grid import Grid
from p2vit.quant.lower_norm import affine, layer_norm, normal_exponent
from p2vit.quant.simulated import QuantizedBlock, QuantizedEnds, QuantizedViT
from p2vit.quant.weights import QuantizedLinear

#: int32 holds that many keys of log2 codes with 15 guard bits: 128 · 2^15 · 511 < 2^31.
KEYS_AT_FULL_GUARD = 511


def whole(values: Tensor, dtype: str) -> NDArray:
    """Whole numbers held in a float tensor, as a NumPy integer array."""
    return values.detach().double().round().numpy().astype(dtype)


def linear(layer: QuantizedLinear, grid: Grid | None) -> Linear:
    """A layer with its shift to the exponents of ``grid``; without one, the accumulator is the output."""
    accumulator, bias = whole(layer.log2_scale, "int8"), layer.bias
    if grid is None:
        shift, bits = np.zeros_like(accumulator), 32
    else:
        shift, bits = (grid.exponents().astype(np.int16) - accumulator).astype(np.int8), grid.bits
        # The offset that the output leaves out is taken from the bias.
        bias = bias - torch.floor(grid.offset * torch.exp2(grid.log2_scale - layer.log2_scale) + 0.5)
    return Linear(
        whole(layer.weight, "int8"),
        whole(bias, "int32"),
        shift,
        layer.bits,
        bits,
        accumulator_exponent=accumulator,
    )


def table(inputs: Grid, outputs: Grid, activation: Activation, groups: int) -> Lookup:
    """Tables of an activation from one grid to another, one for each group, from the exact function in float64."""

    def of_groups(value: float | Tensor) -> Tensor:
        each = torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1)
        return each[:: max(len(each) // groups, 1)]

    x = (torch.arange(-128, 128, dtype=torch.float64) + of_groups(inputs.offset)) * torch.exp2(
        of_groups(inputs.log2_scale)
    )
    y = activate(x, activation) / torch.exp2(of_groups(outputs.log2_scale))
    return Lookup(whole(torch.floor(y + (0.5 - of_groups(outputs.offset))).clamp(-128, 127), "int8"))


def residual_add(before: Grid, branch: Grid, after: Grid) -> Add:
    """Add of a stream and a branch, aligned to the branch's exponents, which are as fine as both neighbours'."""
    left = np.atleast_1d(before.exponents() - branch.exponents())
    shift = np.atleast_1d(after.exponents() - branch.exponents())
    return Add(left, np.zeros(1, np.int8), shift, after.bits)


class Lowering:
    """Walks a quantized model and appends its operators.

    Args:
        model: On grids whose scales are powers of two.
    """

    def __init__(self, model: QuantizedViT) -> None:
        self.model = model
        self.builder = ProgramBuilder((*model.config.image_size, 3))

    def add(self, name: str, operator: Any, inputs: list[str], grid: Grid | int | NDArray) -> str:
        """Append one node whose output is on a grid, or has the exponents given."""
        exponent = grid.exponents() if isinstance(grid, Grid) else grid
        offset = grid.offsets() if isinstance(grid, Grid) else 0
        self.builder.add(name, operator, inputs, exponent, offset)
        return name

    def run(self) -> tuple[ProgramBuilder, str, str]:
        """Append everything.

        Returns:
            The builder, and the names of output and feature.
        """
        stream, grid = self.embedding(self.model.ends)
        for index, block in enumerate(self.model.blocks):
            stream, grid = self.block(f"blocks.{index}", block, stream, grid)
        return self.builder, *self.head(self.model.ends, stream, grid)

    def embedding(self, ends: QuantizedEnds) -> tuple[str, Grid]:
        """Pixels → tokens of the residual stream."""
        config, stream = self.model.config, ends.stream
        self.builder.add("patches", Patchify(config.patch_size), [PIXELS], 0, offset=128)
        self.add("patch_embed", linear(ends.patch_embed, ends.patch_grid), ["patches"], ends.patch_grid)
        dtype = str(storage_dtype(stream.bits, signed=True))
        prefix, position = (whole(stream.stored(part), dtype) for part in (ends.prefix, ends.position))
        name = self.add("tokens", AssembleTokens(prefix, position, stream.bits), ["patch_embed"], stream)
        if ends.pre_norm is not None:
            normal = normal_exponent(config.embed_dim)
            norm = layer_norm(config.embed_dim, stream, normal, config.norm_eps, 16)
            self.add("pre_norm", norm, [name], normal)
            operator = affine(ends.pre_norm.weight, ends.pre_norm.bias, normal, stream)
            name = self.add("pre_affine", operator, ["pre_norm"], stream)
        return name, stream

    def block(self, at: str, block: QuantizedBlock, stream: str, before: Grid) -> tuple[str, Grid]:
        """One encoder block."""
        grids, channels = block.grids, self.model.config.embed_dim
        norm = layer_norm(channels, before, grids["norm1"].exponents(), block.epsilon, 8)
        self.add(f"{at}.norm1", norm, [stream], grids["norm1"])
        for name in "qkv":
            self.add(
                f"{at}.attn.{name}", linear(block.layers[name], grids[name]), [f"{at}.norm1"], grids[name]
            )
        values = self.attention(at, block)
        self.add(
            f"{at}.attn.proj", linear(block.layers["proj"], grids["branch1"]), [values], grids["branch1"]
        )
        add = residual_add(before, grids["branch1"], grids["add1"])
        middle = self.add(f"{at}.add1", add, [stream, f"{at}.attn.proj"], grids["add1"])
        norm = layer_norm(channels, grids["add1"], grids["norm2"].exponents(), block.epsilon, 8)
        self.add(f"{at}.norm2", norm, [middle], grids["norm2"])
        self.add(f"{at}.mlp.fc1", linear(block.layers["fc1"], grids["fc1"]), [f"{at}.norm2"], grids["fc1"])
        lookup = table(grids["fc1"], grids["gelu"], block.activation, block.table_groups)
        self.add(f"{at}.mlp.gelu", lookup, [f"{at}.mlp.fc1"], grids["gelu"])
        self.add(
            f"{at}.mlp.fc2",
            linear(block.layers["fc2"], grids["branch2"]),
            [f"{at}.mlp.gelu"],
            grids["branch2"],
        )
        add = residual_add(grids["add1"], grids["branch2"], grids["add2"])
        return self.add(f"{at}.add2", add, [middle, f"{at}.mlp.fc2"], grids["add2"]), grids["add2"]

    def attention(self, at: str, block: QuantizedBlock) -> str:
        """Scores, softmax codes, and codes × values."""
        grids, heads = block.grids, block.heads
        head_dim = self.model.config.head_dim
        names = [f"{at}.attn.{name}" for name in "qkv"]
        exponents = [
            np.broadcast_to(grids[n].exponents(), (heads * head_dim,)).reshape(heads, -1) for n in "qk"
        ]
        scores = exponents[0][:, 0] + exponents[1][:, 0] + np.int8(block.score_exponent)
        self.add(
            f"{at}.attn.scores",
            Scores(heads, head_dim, block.score_exponent),
            names[:2],
            scores.reshape(heads, 1, 1),
        )
        form = block.softmax
        assert form in ("linear", "log2")
        softmax = Softmax((DISTANCE_EXPONENT - scores.astype(np.int16)).astype(np.int8), form)
        self.add(f"{at}.attn.softmax", softmax, [f"{at}.attn.scores"], -8 if form == "linear" else 0)
        shift = np.broadcast_to(grids["values"].exponents() - grids["v"].exponents(), (heads * head_dim,))
        tokens = self.model.config.tokens
        guard = 15 if tokens <= KEYS_AT_FULL_GUARD else 15 - math.ceil(math.log2(tokens / KEYS_AT_FULL_GUARD))
        values = AttentionValues(heads, shift.astype(np.int8), form, guard)
        return self.add(f"{at}.attn.values", values, [f"{at}.attn.softmax", names[2]], grids["values"])

    def head(self, ends: QuantizedEnds, stream: str, grid: Grid) -> tuple[str, str]:
        """Residual stream → feature → logits; returns the names of output and feature."""
        config = self.model.config
        channels, normal = config.embed_dim, normal_exponent(config.embed_dim)
        patches, epsilon, gain = config.grid[0] * config.grid[1], config.norm_eps, ends.norm.weight
        halvings = math.ceil(math.log2(patches))
        summed: Any = SumTokens(config.prefix_tokens, patches, np.full(1, halvings, np.int8), 16)
        if config.pool == "token":
            self.add("pool", SelectToken(0), [stream], grid)
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), ["pool"], normal)
            last, exponent = "norm", normal
        elif config.pool_before_norm:
            # The sum is normalised in place of the mean: LayerNorm does not see the factor, ε is scaled by it.
            total = Grid(grid.log2_scale + halvings, 16)
            self.add("pool", summed, [stream], total)
            self.add("norm", layer_norm(channels, total, normal, epsilon * patches**2, 16), ["pool"], normal)
            last, exponent = "norm", normal
        else:
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), [stream], normal)
            last, exponent = self.add("pool", summed, ["norm"], normal + halvings), normal + halvings
            gain = gain / patches
        assert ends.feature is not None
        feature = self.add(
            "feature", affine(gain, ends.norm.bias, exponent, ends.feature), [last], ends.feature
        )
        if ends.head is None:
            return feature, feature
        return self.add(
            "head", linear(ends.head, None), [feature], whole(ends.head.log2_scale, "int8")
        ), feature


def lower(
    model: QuantizedViT,
    preprocessing: Preprocessing,
    classes: tuple[str, ...] = (),
    provenance: dict[str, Any] | None = None,
) -> IntegerProgram:
    """Make the integer program of a quantized model.

    Args:
        model: All its scales are powers of two, its softmax ``linear`` or ``log2``.
        preprocessing: Recorded with the program.
        classes: Labels of the logits.
        provenance: Plain JSON values; not part of the program's hash.

    Raises:
        ValueError: a scale is no power of two, or a shift leaves what an operator can do.
    """
    builder, output, feature = Lowering(model).run()
    return IntegerProgram(
        tuple(builder.nodes),
        builder.tensors,
        output,
        feature,
        preprocessing,
        tuple(classes),
        dict(provenance or {}),
    )
