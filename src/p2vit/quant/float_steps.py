"""The float model, computed step by step with the names of its integer program."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.blueprint.model import blueprint
from p2vit.models.blueprint.step import PIXELS, Step
from p2vit.models.canonical import Block, CanonicalViT
from p2vit.models.layers import activate, gather_tokens, merge_heads, rotate, split_heads
from p2vit.program.maps import FeatureMap
from p2vit.quant.attention import WindowAttention
from p2vit.quant.embedding import EPSILON
from p2vit.quant.fold import Affine, FoldedBlock, fold_block, fold_pixels, fold_pool, normalise
from p2vit.quant.simulated import centred_patches


class FloatSteps:
    """Computes the steps of a model's blueprint with the float model's weights.

    LayerNorm gains, 1/√d and pixel scaling are folded into the linear layers, as in the program. A tensor therefore
    has the same meaning here and in the program. Softmax codes are probabilities here.

    Args:
        model: The float model.
        maps: Feature maps of the program.

    Attributes:
        blueprint: Topology of the model.
        blocks: Folded layers of each encoder block. Their hidden channels may be sorted, see :meth:`sort_hidden`.
        pool: Folded layers of the attention pooling head, or None.
    """

    def __init__(self, model: CanonicalViT, maps: Sequence[FeatureMap] = ()) -> None:
        self.model = model
        self.blueprint = blueprint(model.config, maps)
        self.pool: FoldedBlock | None = None
        with torch.inference_mode():
            self.blocks = [fold_block(block) for block in model.blocks if isinstance(block, Block)]
            if model.attention_pool is not None:
                self.pool = fold_pool(model.attention_pool, model.norm)

    def folded(self, step: Step) -> FoldedBlock:
        """Return the folded layers of the block or pooling head that a step belongs to."""
        if step.home != "pool":
            return self.blocks[step.block]
        assert self.pool is not None
        return self.pool

    def sort_hidden(self, step: Step, order: Tensor) -> None:
        """Sort the hidden channels of the MLP that a step belongs to; its output stays the same.

        Args:
            step: A step of the block or of the pooling head.
            order: int64 [hidden], channel of the float model at each place.
        """
        layers = self.folded(step).layers
        for name in ("fc1", "up"):
            if name in layers:
                layers[name] = Affine(layers[name].weight[order], layers[name].bias[order])
        layers["fc2"] = Affine(layers["fc2"].weight[:, order], layers["fc2"].bias)

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Compute every tensor for photos uint8 [B, H, W, 3]: name → float32 [B, ...]."""
        values = {PIXELS: torch.from_numpy(pixels)}
        for step in self.blueprint.steps:
            values[step.name] = self.step(step, *(values[name] for name in step.inputs))
        return values

    def step(self, step: Step, *inputs: Tensor) -> Tensor:
        """Compute one step from real values of its inputs, float32 [B, ...] each."""
        return _STEPS[step.operator](self, step, *inputs)

    def _patchify(self, step: Step, pixels: Tensor) -> Tensor:
        return centred_patches(pixels, self.model.config.patch_size) + 128

    def _linear(self, step: Step, x: Tensor) -> Tensor:
        if step.home != "ends":
            layer = self.folded(step).layers[step.layer]
            return F.linear(x, layer.weight, layer.bias)
        if step.layer == "patch_embed":
            source = fold_pixels(self.model)
            return F.linear(x - 128, source.weight, source.bias)
        if step.layer == "projection":
            assert self.model.projection is not None
            y = self.model.projection(x)
            return torch.cat([y, -y], dim=-1)
        if step.layer == "halves":
            first, second = x.chunk(2, dim=-1)
            return (first - second) / 2
        assert self.model.head is not None
        y = self.model.head(x)
        return y

    def _assemble(self, step: Step, x: Tensor) -> Tensor:
        model = self.model
        assert model.prefix is not None
        assert model.position is not None
        return torch.cat([model.prefix.expand(len(x), -1, -1), x], dim=1) + model.position

    def _constant(self, step: Step, x: Tensor) -> Tensor:
        return self.folded(step).fills["q"].expand(len(x), 1, -1)

    def _norm(self, step: Step, x: Tensor) -> Tensor:
        config = self.model.config
        if step.grid == "normal":
            return normalise(x, EPSILON)
        # LayerNorm of a sum equals that of the mean if ε is scaled by the square of the number of tokens.
        summed = (
            step.home == "ends" and config.pool == "avg" and config.pool_before_norm and step.name == "norm"
        )
        return normalise(x, config.norm_eps * (config.pooled_tokens**2 if summed else 1))

    def _affine(self, step: Step, x: Tensor) -> Tensor:
        model, config = self.model, self.model.config
        if step.grid == "stream":
            assert model.pre_norm is not None
            return x * model.pre_norm.weight + model.pre_norm.bias
        if step.home == "map":
            return x * model.norm.weight + model.norm.bias
        if model.attention_pool is not None:
            return x  # The pooling head contains the last LayerNorm.
        vectors, tokens = config.pooled_dim // len(model.norm.weight), config.pooled_tokens
        gain, bias = model.norm.weight.repeat(vectors), model.norm.bias.repeat(vectors)
        # The input holds sums over tokens, not means.
        if config.pool == "token_avg":
            gain = gain / torch.tensor([1.0, tokens]).repeat_interleave(len(gain) // 2)
        elif config.pool == "avg" and not config.pool_before_norm:
            gain = gain / tokens
        return x * gain + bias

    def _gather(self, step: Step, x: Tensor) -> Tensor:
        assert step.index is not None
        fill = self.folded(step).fills[step.fill] if step.fill else None
        index = torch.from_numpy(step.index.astype("int64"))
        return gather_tokens(x, index.flatten(), fill).reshape(len(x), len(index), -1)

    def _sum(self, step: Step, x: Tensor) -> Tensor:
        first, count = step.reads
        return x[:, first : first + count].sum(dim=1, keepdim=True)

    def _select(self, step: Step, x: Tensor) -> Tensor:
        return x[:, step.reads[0]].unsqueeze(1)

    def _add(self, step: Step, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def _multiply(self, step: Step, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def _lookup(self, step: Step, x: Tensor) -> Tensor:
        return activate(x, self.model.config.activation)

    def _rotary(self, step: Step, x: Tensor) -> Tensor:
        block = self.model.blocks[step.block]
        assert isinstance(block, Block)
        return merge_heads(rotate(split_heads(x, step.heads), block.cosine, block.sine))

    def _scores(self, step: Step, q: Tensor, k: Tensor) -> Tensor:
        q, k = (split_heads(part, step.heads, step.windows) for part in (q, k))
        return (q @ k.transpose(-1, -2) * 2.0 ** self.folded(step).score_exponent).flatten(2, -2)

    def _score_bias(self, step: Step, scores: Tensor) -> Tensor:
        """Masked scores are minus infinity."""
        folded, shape = self.folded(step), self.model.config.blocks[step.block]
        assert shape.windows is not None
        assert folded.score_bias is not None
        windows = WindowAttention(shape.windows, folded.score_bias, folded.fills)
        apart = scores.clone() if step.windows == 1 else scores.unflatten(2, (step.windows, -1)).clone()
        biased = windows.biased(apart, folded.score_bias)
        return biased if step.windows == 1 else biased.flatten(2, 3)

    def _softmax(self, step: Step, scores: Tensor) -> Tensor:
        return scores.softmax(dim=-1)

    def _values(self, step: Step, probabilities: Tensor, v: Tensor) -> Tensor:
        if step.windows > 1:
            probabilities = probabilities.unflatten(2, (step.windows, -1))
        return merge_heads(probabilities @ split_heads(v, step.heads, step.windows))


#: Class name of an operator → the method that computes its steps.
_STEPS: dict[str, Callable[..., Tensor]] = {
    "Patchify": FloatSteps._patchify,
    "Linear": FloatSteps._linear,
    "AssembleTokens": FloatSteps._assemble,
    "ConstantTokens": FloatSteps._constant,
    "LayerNorm": FloatSteps._norm,
    "Affine": FloatSteps._affine,
    "GatherTokens": FloatSteps._gather,
    "SumTokens": FloatSteps._sum,
    "SelectToken": FloatSteps._select,
    "Add": FloatSteps._add,
    "Multiply": FloatSteps._multiply,
    "Lookup": FloatSteps._lookup,
    "Rotary": FloatSteps._rotary,
    "Scores": FloatSteps._scores,
    "ScoreBias": FloatSteps._score_bias,
    "Softmax": FloatSteps._softmax,
    "AttentionValues": FloatSteps._values,
}
