"""The fake-quantized counterpart of an integer program: float64 arithmetic on grids, equal to it on every tensor.

The counterpart is built from the quantized model, not from the program. It uses nothing that lowering computes: no
shifts, absorbed offsets, tables, indices or masks. Matrix products, adds, gathers, activations and sums work on
real values, and the result is rounded to the next grid. All of these are exact in float64, so the test is equality.
LayerNorm, softmax and the division after it are not exact in floating point. For these, the counterpart applies the
integer operator to the stored integers of the values.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.models.layers import activate, gather_tokens, split_heads
from p2vit.numerics import AttentionValues, Operator, Softmax
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.program.graph import IntegerProgram
from p2vit.quant.attention import guard_bits
from p2vit.quant.embedding import EPSILON
from p2vit.quant.fold import Affine
from p2vit.quant.grid import Grid, uniform_grid
from p2vit.quant.lower_norm import affine, layer_norm, normal_exponent
from p2vit.quant.lower_operators import score_bias
from p2vit.quant.maps import QuantizedMap
from p2vit.quant.simulated import QuantizedBlock, QuantizedPool, QuantizedViT, centred_patches
from p2vit.quant.weights import QuantizedLinear


class Counterpart:
    """Runs a quantized model on real values and keeps every tensor under its name in the program.

    Args:
        model: Quantized model; all its scales are powers of two.

    Attributes:
        tensors: Tensor name → values of the last run, float64 [B, ...].
    """

    def __init__(self, model: QuantizedViT) -> None:
        self.model = model
        self.tensors: dict[str, Tensor] = {}

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Compute every tensor for photos uint8 [B, H, W, 3]: name → float64 [B, ...]."""
        self.tensors = {}
        x, grid = self.embedding(torch.from_numpy(pixels))
        for index, block in enumerate(self.model.blocks):
            x, grid = self.block(f"blocks.{index}", block, x, grid)
            for each in self.model.maps:
                if each.map.layer == index:
                    self.feature_map(each, x, grid)
        if self.model.pooling is not None:
            x, grid = self.pooling(self.model.pooling, x, grid)
        self.head(x, grid)
        return self.tensors

    def keep(self, name: str, x: Tensor) -> Tensor:
        """Store a tensor under its name, and return it."""
        self.tensors[name] = x
        return x

    def operate(self, operator: Operator, exponent: object, *stored: Tensor) -> Tensor:
        """Run an integer operator on stored integers, and return real values at an exponent."""
        out = compute(operator, list(stored), Parameters(operator))
        return out.double() * torch.exp2(torch.as_tensor(np.asarray(exponent), dtype=torch.float64))

    def linear(self, name: str, layer: QuantizedLinear, x: Tensor, inputs: Grid, grid: Grid | None) -> Tensor:
        """Compute a linear layer and round its output to a grid; without a grid, keep the accumulator."""
        stored = x / torch.exp2(inputs.log2_scale) - inputs.offset
        y = (stored @ layer.weight.double().T + layer.bias) * torch.exp2(layer.log2_scale)
        return self.keep(name, y if grid is None else grid.fake(y))

    def norm(
        self, name: str, x: Tensor, inputs: Grid, exponents: object, epsilon: float, bits: int
    ) -> Tensor:
        """Compute a LayerNorm without gain and bias, rounded to the exponents given."""
        stored = (x / torch.exp2(inputs.log2_scale)).to(torch.int8 if inputs.bits <= 8 else torch.int16)
        operator = layer_norm(x.shape[-1], inputs, np.asarray(exponents), epsilon, bits)
        return self.keep(name, self.operate(operator, exponents, stored))

    def gain(self, name: str, x: Tensor, gain: Affine, exponent: object, outputs: Grid) -> Tensor:
        """Apply the integer gain and bias of each channel."""
        operator = affine(gain.weight, gain.bias, np.asarray(exponent), outputs)
        step = torch.exp2(torch.from_numpy(operator.accumulator_exponent.astype(np.float64)))
        unit = step / torch.exp2(torch.as_tensor(np.asarray(exponent), dtype=torch.float64))
        weight, bias = (torch.from_numpy(part.astype(np.float64)) for part in (operator.gain, operator.bias))
        return self.keep(name, outputs.fake(x * (weight * unit) + bias * step))

    def embedding(self, pixels: Tensor) -> tuple[Tensor, Grid]:
        """Compute the residual stream from pixels, and return it with its grid."""
        ends, config = self.model.ends, self.model.config
        centred = Grid(torch.zeros((), dtype=torch.float64), offset=128.0)
        patches = self.keep("patches", centred_patches(pixels, config.patch_size).double() + 128)
        x = self.linear("patch_embed", ends.patch_embed, patches, centred, ends.patch_grid)
        grid = ends.patch_grid
        if ends.prefix is not None and ends.position is not None:
            x = ends.stream.fake(x + ends.position.double())
            x = self.keep("tokens", torch.cat([ends.prefix.double().expand(len(x), -1, -1), x], dim=1))
            grid = ends.stream
        if ends.pre_norm is not None:
            normal = normal_exponent(config.embed_dim)
            x = self.norm("pre_norm", x, grid, normal, config.norm_eps, 16)
            x = self.gain("pre_affine", x, ends.pre_norm, normal, ends.stream)
        return x, ends.stream

    def block(self, at: str, block: QuantizedBlock, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Compute one encoder block, with the patch merging before it."""
        grids = block.grids
        if block.shape.merge is not None:
            x = self.keep(f"{at}.merge.gather", block.gathered(x))
            side = Grid(grid.log2_scale.repeat(4) if grid.log2_scale.ndim else grid.log2_scale, grid.bits)
            exponents = grids["merge"].exponents()
            x = self.norm(f"{at}.merge.norm", x, side, exponents, block.epsilon, 8)
            layer = block.layers["reduction"]
            x = self.linear(f"{at}.merge.reduction", layer, x, grids["merge"], grids["merged"])
            grid = grids["merged"]
        hidden = self.norm(f"{at}.norm1", x, grid, grids["norm1"].exponents(), block.epsilon, 8)
        windows = block.shape.windows
        padded = windows is not None and windows.padding
        if windows is not None and windows.moves and not padded:
            index = torch.from_numpy(windows.index.astype("int64"))
            hidden = self.keep(f"{at}.attn.windows", gather_tokens(hidden, index))
        parts = []
        for name in "qkv":
            full = f"{at}.attn.{name}"
            part = self.linear(full, block.layers[name], hidden, grids["norm1"], block.output_grid(name))
            if block.shape.rotary is not None and name in "qk":
                part = self.keep(f"{full}.rotary", grids[name].fake(block.turned(part)))
            if padded and block.window_attention is not None:
                fill = grids[name].fake(block.window_attention.fills[name].double())
                part = self.keep(f"{full}.windows", block.window_attention.gather(part, fill))
            parts.append(part)
        mixed = self.attention(f"{at}.attn", block, parts)
        if windows is not None and windows.moves and block.window_attention is not None:
            mixed = self.keep(f"{at}.attn.back", block.window_attention.scatter(mixed))
        branch = self.linear(
            f"{at}.attn.proj", block.layers["proj"], mixed, grids["values"], grids["branch1"]
        )
        x = self.keep(f"{at}.add1", grids["add1"].fake(x + branch))
        return self.mlp(at, block, x), grids["add2"]

    def attention(self, at: str, block: QuantizedBlock, parts: list[Tensor]) -> Tensor:
        """Compute scores, their bias and mask, softmax codes, and codes × values."""
        shape, grids, form = block.shape, block.grids, block.softmax
        assert form in ("linear", "log2")
        windows = 1 if shape.windows is None else shape.windows.count
        q, k, v = parts
        heads = [split_heads(part, shape.heads, windows) for part in (q, k)]
        scores = heads[0] @ heads[1].transpose(-1, -2) * 2.0**block.score_exponent
        scores = self.keep(f"{at}.scores", scores.flatten(2, -2))
        scale = block.score_scale()
        step = torch.exp2(scale).view(-1, 1, 1)
        shift = (DISTANCE_EXPONENT - scale).numpy().astype(np.int8)
        masked = False
        if block.window_attention is not None:
            numbers, keys = block.score_bias(), shape.keys
            assert numbers is not None
            scores = scores.unflatten(2, (-1, keys)) + (numbers * step).unsqueeze(1)
            mask = block.window_attention.mask
            if mask is not None:
                # Lowering chooses the score of a masked key. The softmax codes show that its weight is zero.
                masked, low = True, torch.from_numpy(score_bias(block, shift).masked.astype(np.float64))
                apart = mask if mask.ndim == 3 else mask.unsqueeze(0)
                scores = torch.where(apart, (low * step.flatten()).view(-1, 1, 1, 1), scores)
            scores = self.keep(f"{at}.bias", scores.flatten(2, 3))
        stored = (scores / step).to(torch.int32)
        code_exponent = -8 if form == "linear" else 0
        codes = compute(operator := Softmax(shift, form), [stored], Parameters(operator))
        self.keep(f"{at}.softmax", codes.double() * 2.0**code_exponent)
        narrow = np.broadcast_to(grids["values"].exponents() - grids["v"].exponents(), (shape.dim,))
        guard = guard_bits(shape.keys, masked)
        values = AttentionValues(shape.heads, narrow.astype(np.int8), form, guard, windows=windows)
        v_stored = (v / torch.exp2(grids["v"].log2_scale)).to(torch.int8)
        return self.keep(f"{at}.values", self.operate(values, grids["values"].exponents(), codes, v_stored))

    def mlp(self, at: str, block: QuantizedBlock, x: Tensor) -> Tensor:
        """Compute the MLP half of a block."""
        grids = block.grids
        hidden = self.norm(f"{at}.norm2", x, grids["add1"], grids["norm2"].exponents(), block.epsilon, 8)
        normal, inputs = hidden, grids[block.hidden_grid]
        hidden = self.linear(f"{at}.mlp.fc1", block.layers["fc1"], normal, grids["norm2"], grids["fc1"])
        hidden = self.keep(f"{at}.mlp.gelu", grids["gelu"].fake(activate(hidden, block.activation)))
        if block.shape.gated_mlp:
            up = self.linear(f"{at}.mlp.up", block.layers["up"], normal, grids["norm2"], grids["up"])
            hidden = self.keep(f"{at}.mlp.gated", grids["gated"].fake(hidden * up))
        if block.shape.mlp_norm:
            exponents = grids["mlp_norm"].exponents()
            hidden = self.norm(f"{at}.mlp.norm", hidden, grids["gated"], exponents, block.epsilon, 8)
        branch = self.linear(f"{at}.mlp.fc2", block.layers["fc2"], hidden, inputs, grids["branch2"])
        return self.keep(f"{at}.add2", grids["add2"].fake(x + branch))

    def pooling(self, pool: QuantizedPool, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Compute the attention pooling head."""
        block, grids = pool.block, pool.block.grids
        hidden = self.norm("norm", x, grid, grids["norm1"].exponents(), block.epsilon, 8)
        query = grids["q"].fake(pool.query.double()).expand(len(x), 1, -1)
        parts = [self.keep("pool.attn.q", query)]
        for name in "kv":
            layer = block.layers[name]
            parts.append(self.linear(f"pool.attn.{name}", layer, hidden, grids["norm1"], grids[name]))
        mixed = self.attention("pool.attn", block, parts)
        x = self.linear("pool.attn.proj", block.layers["proj"], mixed, grids["values"], grids["add1"])
        return self.mlp("pool", block, x), grids["add2"]

    def feature_map(self, found: QuantizedMap, x: Tensor, grid: Grid) -> None:
        """All tokens behind a block, through the last LayerNorm."""
        name, normal = found.map.name, normal_exponent(x.shape[-1])
        x = self.norm(f"{name}.norm", x, grid, normal, self.model.config.norm_eps, 16)
        self.gain(name, x, found.norm, normal, found.grid)

    def head(self, x: Tensor, grid: Grid) -> None:
        """Compute the feature and the logits from the residual stream."""
        ends, config = self.model.ends, self.model.config
        channels, gain, tokens = config.blocks[-1].dim, ends.norm, config.pooled_tokens
        normal = normal_exponent(channels)
        exponent: object = normal
        if self.model.pooling is not None:
            exponent = grid.exponents()
        elif config.pool == "token_dist":
            x = self.norm("norm", self.keep("pool", x[:, :2]), grid, normal, config.norm_eps, 16)
            x = self.keep("pair", x.flatten(1).unsqueeze(1))
        elif config.pool == "token_avg":
            x = self.norm("norm", x, grid, normal, config.norm_eps, 16)
            total = normal + int(np.ceil(np.log2(tokens)))
            mean = uniform_grid(total).fake(x[:, config.prefix_tokens :].sum(dim=1, keepdim=True))
            first, second = x[:, :1], self.keep("pool", mean)
            self.keep("pair.token", torch.cat([first, torch.zeros_like(first)], dim=2))
            self.keep("pair.mean", torch.cat([torch.zeros_like(first), second], dim=2))
            x = self.keep("pair", torch.cat([first, second], dim=2))
            exponent = np.repeat(np.array([normal, total]), channels)
            gain = Affine(gain.weight / torch.tensor([1.0, tokens]).repeat_interleave(channels), gain.bias)
        elif config.pool == "token":
            x = self.norm("norm", self.keep("pool", x[:, :1]), grid, normal, config.norm_eps, 16)
        elif config.pool_before_norm:
            wide = Grid(grid.log2_scale + float(np.ceil(np.log2(tokens))), 16)
            x = self.keep("pool", wide.fake(x[:, config.prefix_tokens :].sum(dim=1, keepdim=True)))
            x = self.norm("norm", x, wide, normal, config.norm_eps * tokens**2, 16)
        else:
            x = self.norm("norm", x, grid, normal, config.norm_eps, 16)
            exponent = normal + int(np.ceil(np.log2(tokens)))
            wide = Grid(torch.tensor(float(exponent), dtype=torch.float64), 16)
            x = self.keep("pool", wide.fake(x[:, config.prefix_tokens :].sum(dim=1, keepdim=True)))
            gain = Affine(gain.weight / tokens, gain.bias)
        assert ends.feature is not None
        x, inputs = self.gain("feature", x, gain, exponent, ends.feature), ends.feature
        if ends.embedding is not None:
            found = ends.embedding
            x = self.linear("projection", found.projection, x, inputs, found.projected)
            x = self.norm("normalised", x, found.projected, found.normal.exponents(), EPSILON, 8)
            x, inputs = self.linear("embedding", found.halves, x, found.normal, found.grid), found.grid
        if ends.head is not None:
            self.linear("head", ends.head, x, inputs, None)


def unequal_tensors(
    model: QuantizedViT, program: IntegerProgram, run: dict[str, NDArray], pixels: NDArray[np.uint8]
) -> dict[str, int]:
    """Compare every tensor of a program with its counterpart.

    Args:
        model: Quantized model from which the program was made.
        program: The program.
        run: Every tensor of the program for the photos, as stored integers.
        pixels: Photos, uint8 [B, H, W, 3].

    Returns:
        Tensor name → number of values that differ; empty if all tensors are equal.

    Raises:
        ValueError: The program and its counterpart do not have the same tensors.
    """
    counterpart = Counterpart(model).run(pixels)
    names = [node.name for node in program.nodes]
    if odd := sorted(set(names) ^ set(counterpart)):
        raise ValueError(f"tensors {odd[:5]} are in only one of program and counterpart")
    found = {name: _unequal(program, name, run[name], counterpart[name]) for name in names}
    return {name: count for name, count in found.items() if count}


def _unequal(program: IntegerProgram, name: str, stored: NDArray, real: Tensor) -> int:
    ours = program.tensors[name].real(stored)
    return int((ours.reshape(-1) != np.broadcast_to(real.numpy(), ours.shape).reshape(-1)).sum())
