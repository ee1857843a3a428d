"""The fake-quantized counterpart of an integer program: float64 arithmetic on grids, equal to it on every tensor.

The counterpart is built from the quantized model and its blueprint, not from the program. It shares the names and edges
of the steps with lowering, but nothing that lowering computes: no shifts, absorbed offsets, tables or masks. Matrix
products, adds, gathers, activations and sums work on real values, and the result is rounded to the next grid. All of
these are exact in float64, so the test is equality. LayerNorm, softmax and the division after it are not exact in
floating point. For these, the counterpart applies the integer operator to the stored integers of the values.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.engine.torch.kernels import Parameters, compute
from p2vit.models.blueprint.step import PIXELS, Step
from p2vit.models.layers import activate, gather_tokens, split_heads
from p2vit.numerics import AttentionValues, Operator, Softmax
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.program.graph import IntegerProgram
from p2vit.quant.attention import guard_bits
from p2vit.quant.grid import Grid
from p2vit.quant.lower_norm import affine, layer_norm
from p2vit.quant.lower_operators import score_bias
from p2vit.quant.simulated import QuantizedBlock, QuantizedViT, centred_patches
from p2vit.quant.sites import Sites


class Counterpart:
    """Runs a quantized model on real values and keeps every tensor under its name in the program.

    Names and edges are those of the model's blueprint.

    Args:
        model: Quantized model; all its scales are powers of two.

    Attributes:
        tensors: Tensor name → values of the last run, float64 [B, ...].
    """

    def __init__(self, model: QuantizedViT) -> None:
        self.model = model
        self.sites = Sites(model)
        self.tensors: dict[str, Tensor] = {}

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Compute every tensor for photos uint8 [B, H, W, 3]: name → float64 [B, ...]."""
        self.tensors = {}
        values = {PIXELS: torch.from_numpy(pixels)}
        for step in self.sites.blueprint.steps:
            inputs = (values[name] for name in step.inputs)
            self.tensors[step.name] = values[step.name] = _STEPS[step.operator](self, step, *inputs)
        return self.tensors

    def _input(self, step: Step) -> Grid:
        """Return the grid of a step's first input."""
        return self.sites.grids[step.inputs[0]]

    def _operate(self, operator: Operator, exponent: object, *stored: Tensor) -> Tensor:
        """Run an integer operator on stored integers, and return real values at an exponent."""
        out = compute(operator, list(stored), Parameters(operator))
        return out.double() * torch.exp2(torch.as_tensor(np.asarray(exponent), dtype=torch.float64))

    def _patchify(self, step: Step, pixels: Tensor) -> Tensor:
        return centred_patches(pixels, self.model.config.patch_size).double() + 128

    def _linear(self, step: Step, x: Tensor) -> Tensor:
        """Without a grid, the accumulator is the output."""
        inputs, layer, grid = self._input(step), self.sites.layer(step), self.sites.grids.get(step.name)
        stored = x / torch.exp2(inputs.log2_scale) - inputs.offset
        y = (stored @ layer.weight.double().T + layer.bias) * torch.exp2(layer.log2_scale)
        return y if grid is None else grid.fake(y)

    def _assemble(self, step: Step, x: Tensor) -> Tensor:
        ends = self.model.ends
        assert ends.prefix is not None
        assert ends.position is not None
        x = ends.stream.fake(x + ends.position.double())
        return torch.cat([ends.prefix.double().expand(len(x), -1, -1), x], dim=1)

    def _constant(self, step: Step, x: Tensor) -> Tensor:
        assert self.model.pooling is not None
        query = self.sites.grids[step.name].fake(self.model.pooling.query.double())
        return query.expand(len(x), 1, -1)

    def _norm(self, step: Step, x: Tensor) -> Tensor:
        inputs, outputs = self._input(step), self.sites.grids[step.name]
        stored = (x / torch.exp2(inputs.log2_scale)).to(torch.int8 if inputs.bits <= 8 else torch.int16)
        exponents = outputs.exponents()
        epsilon = self.sites.epsilon(step)
        operator = layer_norm(x.shape[-1], inputs, exponents, epsilon, outputs.bits)
        return self._operate(operator, exponents, stored)

    def _affine(self, step: Step, x: Tensor) -> Tensor:
        gain, exponent, outputs = (
            self.sites.gain(step),
            self._input(step).exponents(),
            self.sites.grids[step.name],
        )
        operator = affine(gain.weight, gain.bias, exponent, outputs)
        scale = torch.exp2(torch.from_numpy(operator.accumulator_exponent.astype(np.float64)))
        unit = scale / torch.exp2(torch.as_tensor(np.asarray(exponent), dtype=torch.float64))
        weight, bias = (torch.from_numpy(part.astype(np.float64)) for part in (operator.gain, operator.bias))
        return outputs.fake(x * (weight * unit) + bias * scale)

    def _gather(self, step: Step, x: Tensor) -> Tensor:
        assert step.index is not None
        fill = self.sites.fill(step)
        padding = None if fill is None else self._input(step).fake(fill.double())
        index = torch.from_numpy(step.index.astype("int64"))
        return gather_tokens(x, index.flatten(), padding).reshape(len(x), len(index), -1)

    def _sum(self, step: Step, x: Tensor) -> Tensor:
        first, count = step.reads
        return self.sites.grids[step.name].fake(x[:, first : first + count].sum(dim=1, keepdim=True))

    def _select(self, step: Step, x: Tensor) -> Tensor:
        return x[:, step.reads[0]].unsqueeze(1)

    def _add(self, step: Step, a: Tensor, b: Tensor) -> Tensor:
        return self.sites.grids[step.name].fake(a + b)

    def _multiply(self, step: Step, a: Tensor, b: Tensor) -> Tensor:
        return self.sites.grids[step.name].fake(a * b)

    def _lookup(self, step: Step, x: Tensor) -> Tensor:
        return self.sites.grids[step.name].fake(activate(x, self.sites.block(step).activation))

    def _rotary(self, step: Step, x: Tensor) -> Tensor:
        return self.sites.grids[step.name].fake(self.sites.block(step).turned(x))

    def _scores(self, step: Step, q: Tensor, k: Tensor) -> Tensor:
        q, k = (split_heads(part, step.heads, step.windows) for part in (q, k))
        scores = q @ k.transpose(-1, -2) * 2.0 ** self.sites.block(step).score_exponent
        return scores.flatten(2, -2)

    def _scale(self, block: QuantizedBlock) -> tuple[Tensor, NDArray[np.int8]]:
        """Return the scale of the scores in each head, float64 [H, 1, 1], and the softmax's shift, int8 [H]."""
        log2 = block.score_scale()
        return torch.exp2(log2).view(-1, 1, 1), (DISTANCE_EXPONENT - log2).numpy().astype(np.int8)

    def _score_bias(self, step: Step, scores: Tensor) -> Tensor:
        block = self.sites.block(step)
        numbers, found = block.score_bias(), block.window_attention
        assert numbers is not None
        assert found is not None
        scale, shift = self._scale(block)
        scores = scores.unflatten(2, (-1, block.shape.keys)) + (numbers * scale).unsqueeze(1)
        if (mask := found.mask) is not None:
            # Lowering chooses the score of a masked key. The softmax codes show that its weight is zero.
            low = torch.from_numpy(score_bias(block, shift).masked.astype(np.float64))
            apart = mask if mask.ndim == 3 else mask.unsqueeze(0)
            scores = torch.where(apart, (low * scale.flatten()).view(-1, 1, 1, 1), scores)
        return scores.flatten(2, 3)

    def _softmax(self, step: Step, scores: Tensor) -> Tensor:
        block = self.sites.block(step)
        assert block.softmax in ("linear", "log2")
        scale, shift = self._scale(block)
        exponent = -8 if block.softmax == "linear" else 0
        return self._operate(Softmax(shift, block.softmax), exponent, (scores / scale).to(torch.int32))

    def _values(self, step: Step, codes: Tensor, v: Tensor) -> Tensor:
        block = self.sites.block(step)
        grids, shape, form = block.grids, block.shape, block.softmax
        assert form in ("linear", "log2")
        masked = block.window_attention is not None and block.window_attention.mask is not None
        narrow = np.broadcast_to(grids["values"].exponents() - grids["v"].exponents(), (shape.dim,))
        operator = AttentionValues(
            shape.heads,
            narrow.astype(np.int8),
            form,
            guard_bits(shape.keys, masked),
            windows=1 if shape.windows is None else shape.windows.count,
        )
        # Linear codes are stored as unsigned bytes, log2 codes as whole numbers.
        stored = (codes * 256 if form == "linear" else codes).to(torch.uint8)
        v_stored = (v / torch.exp2(grids["v"].log2_scale)).to(torch.int8)
        return self._operate(operator, grids["values"].exponents(), stored, v_stored)


#: Class name of an operator → the method that computes its steps.
_STEPS: dict[str, Callable[..., Tensor]] = {
    "Patchify": Counterpart._patchify,
    "Linear": Counterpart._linear,
    "AssembleTokens": Counterpart._assemble,
    "ConstantTokens": Counterpart._constant,
    "LayerNorm": Counterpart._norm,
    "Affine": Counterpart._affine,
    "GatherTokens": Counterpart._gather,
    "SumTokens": Counterpart._sum,
    "SelectToken": Counterpart._select,
    "Add": Counterpart._add,
    "Multiply": Counterpart._multiply,
    "Lookup": Counterpart._lookup,
    "Rotary": Counterpart._rotary,
    "Scores": Counterpart._scores,
    "ScoreBias": Counterpart._score_bias,
    "Softmax": Counterpart._softmax,
    "AttentionValues": Counterpart._values,
}


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
