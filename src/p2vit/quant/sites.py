"""Where a quantized model keeps the numbers of each step of its blueprint: weights, grids, gains and constants."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from p2vit.models.blueprint.model import blueprint
from p2vit.models.blueprint.step import JOINED, NORMALISED, Blueprint, Step
from p2vit.program.maps import FeatureMap
from p2vit.quant.embedding import EPSILON
from p2vit.quant.fold import Affine
from p2vit.quant.grid import Grid, uniform_grid
from p2vit.quant.lower_norm import normal_exponent
from p2vit.quant.maps import QuantizedMap
from p2vit.quant.simulated import QuantizedBlock, QuantizedViT
from p2vit.quant.weights import QuantizedLinear

#: Grid of pixels whose top bit is inverted: what is stored is the pixel minus 128.
CENTRED = Grid(torch.zeros((), dtype=torch.float64), offset=128.0)


class Sites:
    """The numbers of a quantized model, by step of its blueprint.

    Args:
        model: Quantized model.

    Attributes:
        blueprint: Its topology.
        grids: Tensor name → grid. Tensors of scores, softmax codes and logits have none.
    """

    def __init__(self, model: QuantizedViT) -> None:
        self.model = model
        maps: Sequence[FeatureMap] = [each.map for each in model.maps]
        self.blueprint: Blueprint = blueprint(model.config, maps)
        self._maps = {each.map.name: each for each in model.maps}
        self.grids: dict[str, Grid] = {}
        for step in self.blueprint.steps:
            if (grid := self._grid(step)) is not None:
                self.grids[step.name] = grid

    def block(self, step: Step) -> QuantizedBlock:
        """Return the encoder block, or the block of the pooling head, that a step belongs to."""
        if step.home == "pool":
            assert self.model.pooling is not None
            return self.model.pooling.block
        return self.model.blocks[step.block]

    def layer(self, step: Step) -> QuantizedLinear:
        """Return the weights of a linear layer."""
        if step.home != "ends":
            return self.block(step).layers[step.layer]
        ends, found = self.model.ends, self.model.ends.embedding
        layers = {"patch_embed": ends.patch_embed, "head": ends.head}
        if found is not None:
            layers |= {"projection": found.projection, "halves": found.halves}
        layer = layers[step.layer]
        assert layer is not None
        return layer

    def fill(self, step: Step) -> Tensor | None:
        """Return the token that a gather reads at the index −1, float32 [C]; None for zeros."""
        found = self.block(step).window_attention if step.fill else None
        return None if found is None else found.fills[step.fill]

    def epsilon(self, step: Step) -> float:
        """Return ε of a LayerNorm, in squared units of its input.

        LayerNorm of a sum equals LayerNorm of the mean if ε is scaled by the square of the number of tokens.
        """
        config = self.model.config
        if step.home in ("block", "pool"):
            return self.block(step).epsilon
        if step.grid == "normal":
            return EPSILON
        summed = step.name == "norm" and config.pool == "avg" and config.pool_before_norm
        return config.norm_eps * config.pooled_tokens**2 if summed else config.norm_eps

    def gain(self, step: Step) -> Affine:
        """Return gain and bias of a LayerNorm that no linear layer follows.

        A sum over tokens stands for their mean, so the gain of a feature is divided by the number of tokens.
        """
        ends, config = self.model.ends, self.model.config
        if step.home == "map":
            return self._map(step).norm
        if step.grid == "stream":
            assert ends.pre_norm is not None
            return ends.pre_norm
        gain, tokens = ends.norm.weight, config.pooled_tokens
        if config.pool == "token_avg":
            gain = gain / torch.tensor([1.0, tokens]).repeat_interleave(len(gain) // 2)
        elif config.pool == "avg" and not config.pool_before_norm:
            gain = gain / tokens
        return Affine(gain, ends.norm.bias)

    def _map(self, step: Step) -> QuantizedMap:
        return self._maps[step.name.removesuffix(".norm")]

    def _grid(self, step: Step) -> Grid | None:
        """Return the grid of a step's output: the model's own, or the one that follows from the inputs."""
        if step.operator == "Patchify":
            return CENTRED
        if step.grid == NORMALISED:
            return uniform_grid(normal_exponent(step.shape[-1]))
        if step.grid == JOINED:
            half = step.shape[-1] // 2
            return Grid(torch.cat([self.grids[name].log2_scale.expand(half) for name in step.inputs]), 16)
        if step.grid:
            return self._own(step)
        before = self.grids.get(step.inputs[0])
        if before is None or step.operator in ("Scores", "ScoreBias", "Softmax", "Linear"):
            return None
        if step.operator == "SumTokens":
            return Grid(before.log2_scale + halvings(step), 16)
        side = step.shape[-1] // len(before.log2_scale) if before.log2_scale.ndim else 1
        return Grid(before.log2_scale.repeat(side) if side > 1 else before.log2_scale, before.bits)

    def _own(self, step: Step) -> Grid:
        """Return a grid that quantization chose."""
        if step.home in ("block", "pool"):
            return self.block(step).grids[step.grid]
        if step.home == "map":
            return self._map(step).grid
        ends, found = self.model.ends, self.model.ends.embedding
        grids = {"patch": ends.patch_grid, "stream": ends.stream, "feature": ends.feature}
        if found is not None:
            grids |= {"projected": found.projected, "normal": found.normal, "embedding": found.grid}
        grid = grids[step.grid]
        assert grid is not None
        return grid


def halvings(step: Step) -> int:
    """Return the right shift after which a sum over the tokens that a step reads has the size of their mean."""
    return math.ceil(math.log2(step.reads[1]))
