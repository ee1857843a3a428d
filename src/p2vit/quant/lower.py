"""Lowering of a quantized model to an integer program: exponents become shifts, activations become tables."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.numerics import (
    Add,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
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
from p2vit.quant.attention import guard_bits
from p2vit.quant.grid import Grid, uniform_grid
from p2vit.quant.lower_maps import lower_embedding, lower_map
from p2vit.quant.lower_norm import affine, layer_norm, normal_exponent
from p2vit.quant.lower_operators import gate, linear, residual_add, rotary, score_bias, table, whole
from p2vit.quant.simulated import QuantizedBlock, QuantizedEnds, QuantizedPool, QuantizedViT


class Lowering:
    """Builds the integer program of a quantized model, node by node.

    Args:
        model: Quantized model; all its scales are powers of two.
    """

    def __init__(self, model: QuantizedViT) -> None:
        self.model = model
        self.builder = ProgramBuilder((*model.config.image_size, 3))

    def add(self, name: str, operator: Any, inputs: list[str], grid: Grid | int | NDArray) -> str:
        """Append one node whose output has the grid, or the exponents, given. Returns the node's name."""
        exponent = grid.exponents() if isinstance(grid, Grid) else grid
        offset = grid.offsets() if isinstance(grid, Grid) else 0
        self.builder.add(name, operator, inputs, exponent, offset)
        return name

    def run(self) -> tuple[ProgramBuilder, str, str]:
        """Append the nodes of the whole model.

        Returns:
            The builder, the name of the output, and the name of the feature.
        """
        stream, grid = self.embedding(self.model.ends)
        for index, block in enumerate(self.model.blocks):
            stream, grid = self.block(f"blocks.{index}", block, stream, grid)
            for each in self.model.maps:
                if each.map.layer == index:
                    lower_map(self, each, stream, grid)
        if self.model.pooling is not None:
            stream, grid = self.pooling(self.model.pooling, stream, grid)
        return self.builder, *self.head(self.model.ends, stream, grid)

    def embedding(self, ends: QuantizedEnds) -> tuple[str, Grid]:
        """Append the embedding, from pixels to the residual stream. Returns the stream's name and grid."""
        config, stream = self.model.config, ends.stream
        self.builder.add("patches", Patchify(config.patch_size), [PIXELS], 0, offset=128)
        self.add("patch_embed", linear(ends.patch_embed, ends.patch_grid), ["patches"], ends.patch_grid)
        name, before = "patch_embed", ends.patch_grid
        if ends.prefix is not None and ends.position is not None:
            dtype = str(storage_dtype(stream.bits, signed=True))
            prefix, position = (whole(stream.stored(part), dtype) for part in (ends.prefix, ends.position))
            name = self.add("tokens", AssembleTokens(prefix, position, stream.bits), [name], stream)
            before = stream
        if ends.pre_norm is not None:
            normal = normal_exponent(config.embed_dim)
            norm = layer_norm(config.embed_dim, before, normal, config.norm_eps, 16)
            self.add("pre_norm", norm, [name], normal)
            operator = affine(ends.pre_norm.weight, ends.pre_norm.bias, normal, stream)
            name = self.add("pre_affine", operator, ["pre_norm"], stream)
        return name, stream

    def block(self, at: str, block: QuantizedBlock, stream: str, before: Grid) -> tuple[str, Grid]:
        """Append one encoder block, with the patch merging before it. Returns the stream's name and grid."""
        grids, shape = block.grids, block.shape
        if shape.merge is not None:
            stream, before = self.merging(f"{at}.merge", block, stream, before), grids["merged"]
        norm = layer_norm(shape.dim, before, grids["norm1"].exponents(), block.epsilon, 8)
        source = self.add(f"{at}.norm1", norm, [stream], grids["norm1"])
        windows = shape.windows
        padded = windows is not None and windows.padding
        if windows is not None and windows.moves and not padded:
            source = self.gather(f"{at}.attn.windows", windows.index, [source], grids["norm1"])
        names = []
        for name in "qkv":
            at_name = f"{at}.attn.{name}"
            names.append(self.layer(at_name, block, source))
            if shape.rotary is not None and name in "qk":
                names[-1] = self.add(f"{at_name}.rotary", rotary(block, name), [at_name], grids[name])
            if windows is not None and padded and block.window_attention is not None:
                # With the LayerNorm folded in, a padded token is not zero, so padding comes after the linear layers.
                fill = block.window_attention.fills[name]
                names[-1] = self.gather(f"{at_name}.windows", windows.index, [at_name], grids[name], fill)
        last = self.attention(f"{at}.attn", block, names)
        if windows is not None and windows.moves:
            last = self.gather(f"{at}.attn.back", windows.inverse, [last], grids["values"])
        self.layer(f"{at}.attn.proj", block, last)
        add = residual_add(before, grids["branch1"], grids["add1"])
        middle = self.add(f"{at}.add1", add, [stream, f"{at}.attn.proj"], grids["add1"])
        return self.mlp(at, block, middle), grids["add2"]

    def layer(self, name: str, block: QuantizedBlock, source: str) -> str:
        """Append a linear layer of a block."""
        site = name.rsplit(".", 1)[1]
        grid = block.output_grid(site)
        return self.add(name, linear(block.layers[site], grid), [source], grid)

    def mlp(self, at: str, block: QuantizedBlock, middle: str) -> str:
        """Append the MLP half of a block."""
        grids = block.grids
        norm = layer_norm(block.shape.dim, grids["add1"], grids["norm2"].exponents(), block.epsilon, 8)
        self.add(f"{at}.norm2", norm, [middle], grids["norm2"])
        self.layer(f"{at}.mlp.fc1", block, f"{at}.norm2")
        lookup = table(grids["fc1"], grids["gelu"], block.activation, block.table_groups)
        self.add(f"{at}.mlp.gelu", lookup, [f"{at}.mlp.fc1"], grids["gelu"])
        last = f"{at}.mlp.gelu"
        if block.shape.gated_mlp:
            up = self.layer(f"{at}.mlp.up", block, f"{at}.norm2")
            last = self.add(f"{at}.mlp.gated", gate(block), [last, up], grids["gated"])
        if block.shape.mlp_norm:
            exponents = grids["mlp_norm"].exponents()
            norm = layer_norm(block.shape.mlp_dim, grids["gated"], exponents, block.epsilon, 8)
            last = self.add(f"{at}.mlp.norm", norm, [last], grids["mlp_norm"])
        self.layer(f"{at}.mlp.fc2", block, last)
        add = residual_add(grids["add1"], grids["branch2"], grids["add2"])
        return self.add(f"{at}.add2", add, [middle, f"{at}.mlp.fc2"], grids["add2"])

    def gather(
        self, name: str, index: NDArray, inputs: list[str], grid: Grid, fill: Tensor | None = None
    ) -> str:
        """Append a gather of tokens in the order of an index [T], or of k tokens side by side for [T, k].

        An index of −1 reads the fill token, which is zero by default.
        """
        channels = self.builder.tensors[inputs[0]].shape[1]
        dtype = str(storage_dtype(grid.bits, signed=True))
        token = np.zeros(channels, dtype) if fill is None else whole(grid.stored(fill), dtype)
        side = index.reshape(len(index), -1)
        exponents = grid.exponents()
        operator = GatherTokens(side.astype(np.int32), token)
        self.builder.add(
            name,
            operator,
            inputs,
            np.tile(exponents, side.shape[1]) if exponents.ndim else exponents,
        )
        return name

    def merging(self, at: str, block: QuantizedBlock, stream: str, before: Grid) -> str:
        """Append patch merging. Returns the name of the next stage's residual stream."""
        grids, merge = block.grids, block.shape.merge
        assert merge is not None
        self.gather(f"{at}.gather", merge.index, [stream], before)
        side = Grid(before.log2_scale.repeat(4) if before.log2_scale.ndim else before.log2_scale, before.bits)
        norm = layer_norm(4 * merge.dim, side, grids["merge"].exponents(), block.epsilon, 8)
        self.add(f"{at}.norm", norm, [f"{at}.gather"], grids["merge"])
        reduction = linear(block.layers["reduction"], grids["merged"])
        return self.add(f"{at}.reduction", reduction, [f"{at}.norm"], grids["merged"])

    def attention(self, at: str, block: QuantizedBlock, names: list[str]) -> str:
        """Append scores, their bias and mask, softmax, and attention × values.

        Args:
            at: Prefix of the nodes' names.
            block: The quantized block.
            names: Tensors of queries, keys and values.

        Returns:
            Name of the attention output.
        """
        grids, shape = block.grids, block.shape
        windows = 1 if shape.windows is None else shape.windows.count
        exponents = whole(block.score_scale(), "int16")
        last = self.add(
            f"{at}.scores",
            Scores(shape.heads, shape.head_dim, block.score_exponent, windows),
            names[:2],
            exponents.reshape(-1, 1, 1),
        )
        shift = (DISTANCE_EXPONENT - exponents).astype(np.int8)
        masked = False
        if block.window_attention is not None:
            operator = score_bias(block, shift)
            masked = operator.mask is not None
            last = self.add(f"{at}.bias", operator, [last], exponents.reshape(-1, 1, 1))
        form = block.softmax
        assert form in ("linear", "log2")
        codes = self.add(f"{at}.softmax", Softmax(shift, form), [last], -8 if form == "linear" else 0)
        narrow = np.broadcast_to(grids["values"].exponents() - grids["v"].exponents(), (shape.dim,))
        guard = guard_bits(shape.keys, masked)
        values = AttentionValues(shape.heads, narrow.astype(np.int8), form, guard, windows=windows)
        return self.add(f"{at}.values", values, [codes, names[2]], grids["values"])

    def pooling(self, pool: QuantizedPool, stream: str, before: Grid) -> tuple[str, Grid]:
        """Append an attention pooling head. Returns the name and the grid of the pooled token."""
        block, grids = pool.block, pool.block.grids
        norm = layer_norm(block.shape.dim, before, grids["norm1"].exponents(), block.epsilon, 8)
        source = self.add("norm", norm, [stream], grids["norm1"])
        query = whole(grids["q"].stored(pool.query), "int8")
        self.add("pool.attn.q", ConstantTokens(query[None]), [source], grids["q"])
        for name in "kv":
            self.layer(f"pool.attn.{name}", block, source)
        last = self.attention("pool.attn", block, [f"pool.attn.{name}" for name in "qkv"])
        proj = self.add("pool.attn.proj", linear(block.layers["proj"], grids["add1"]), [last], grids["add1"])
        return self.mlp("pool", block, proj), grids["add2"]

    def side_by_side(
        self, name: str, tokens: str, pooled: str, normal: int, halvings: int
    ) -> tuple[str, NDArray]:
        """Append the concatenation of the first token and the pooled one along the channels.

        No operator concatenates tokens of different exponents. Each half is therefore padded with zeros to 2·C
        channels, and the two are added. Nothing is rounded.

        Args:
            name: Name of the result.
            tokens: Name of a tensor int16 [N, C] at the exponent ``normal``; its first token is read.
            pooled: Name of a tensor int16 [1, C] at the exponent ``normal + halvings``.
            normal: Exponent of ``tokens``.
            halvings: Difference of the two exponents, 0 to 15.

        Returns:
            The name of the result, and its exponents, int8 [2·C].
        """
        channels = self.builder.tensors[tokens].shape[1]
        first = self.gather(f"{name}.token", np.array([[0, -1]]), [tokens], uniform_grid(normal))
        second = self.gather(f"{name}.mean", np.array([[-1, 0]]), [pooled], uniform_grid(normal + halvings))
        shift = np.repeat(np.array([0, halvings], np.int8), channels)
        exponents = (normal + shift).astype(np.int8)
        aligned = Add(np.zeros(1, np.int8), np.full(1, halvings, np.int8), shift, 16)
        return self.add(name, aligned, [first, second], exponents), exponents

    def head(self, ends: QuantizedEnds, stream: str, grid: Grid) -> tuple[str, str]:
        """Append pooling, the last LayerNorm, the feature and the head. Returns the names of output and feature."""
        config = self.model.config
        channels = config.blocks[-1].dim
        normal = normal_exponent(channels)
        patches, epsilon, gain = config.pooled_tokens, config.norm_eps, ends.norm.weight
        halvings = math.ceil(math.log2(patches))
        summed: Any = SumTokens(config.prefix_tokens, patches, np.full(1, halvings, np.int8), 16)
        last = "norm"
        exponent: NDArray | int = normal
        if self.model.pooling is not None:
            last, exponent = stream, grid.exponents()
        elif config.pool == "token_dist":
            self.gather("pool", np.array([[0], [1]]), [stream], grid)
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), ["pool"], normal)
            last = self.gather("pair", np.array([[0, 1]]), ["norm"], uniform_grid(normal))
        elif config.pool == "token_avg":
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), [stream], normal)
            self.add("pool", summed, ["norm"], normal + halvings)
            last, exponent = self.side_by_side("pair", "norm", "pool", normal, halvings)
            gain = gain / torch.tensor([1.0, patches]).repeat_interleave(channels)
        elif config.pool == "token":
            self.add("pool", SelectToken(0), [stream], grid)
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), ["pool"], normal)
        elif config.pool_before_norm:
            # LayerNorm of the sum equals LayerNorm of the mean if ε is scaled by the square of the number of tokens.
            total = Grid(grid.log2_scale + halvings, 16)
            self.add("pool", summed, [stream], total)
            self.add("norm", layer_norm(channels, total, normal, epsilon * patches**2, 16), ["pool"], normal)
        else:
            self.add("norm", layer_norm(channels, grid, normal, epsilon, 16), [stream], normal)
            last, exponent = self.add("pool", summed, ["norm"], normal + halvings), normal + halvings
            gain = gain / patches
        assert ends.feature is not None
        feature = self.add(
            "feature", affine(gain, ends.norm.bias, exponent, ends.feature), [last], ends.feature
        )
        if ends.embedding is not None:
            feature = lower_embedding(self, ends.embedding, feature)
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
        model: Quantized model; all its scales are powers of two and its softmax is ``linear`` or ``log2``.
        preprocessing: Preprocessing of the photos; recorded in the program.
        classes: Labels of the logits.
        provenance: Where the program came from, as JSON values; not part of the program's hash.

    Raises:
        ValueError: A scale is not a power of two, or a shift is out of an operator's range.
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
        tuple(each.map for each in model.maps),
    )
