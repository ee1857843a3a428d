"""Grids of the activations of one block: initial grids from ranges, candidates, and the choice among them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from p2vit.models.canonical import activate
from p2vit.models.config import Activation
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.numerics.multiply import LARGEST_SHIFT
from p2vit.numerics.rotary import FRACTION, SHIFTS
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine
from p2vit.quant.grid import Grid, log2_scale_for, offset_grid, range_grid, tensor_mse_grid

#: Smallest and largest shift of the integer LayerNorm's last step.
SHIFT_LEAST, SHIFT_MOST = 14, 30
#: A grid that clips must have less than this share of the error of the grid that does not. On other photos it clips
#: more values.
CLIP_MARGIN = 0.9
#: Candidates for the lowest input of the activation's grid. GELU is nearly flat below, so inputs may saturate there.
FLAT_BELOW = (-2.5, -3.0, -4.0)
#: SiLU is flat only further down.
SILU_FLAT_BELOW = (-4.0, -6.0, -8.0)
#: Room above the largest product seen, where 16 bits hold it.
PRODUCT_HEADROOM = 2.0


def flat_below(activation: Activation) -> tuple[float, float, float]:
    """Lowest inputs of an activation that may still be told apart, to choose between."""
    return SILU_FLAT_BELOW if activation == "silu" else FLAT_BELOW


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest value of each channel of a tensor over the calibration photos.

    Attributes:
        low: Minimum, float32 [C].
        high: Maximum, float32 [C].
    """

    low: Tensor
    high: Tensor

    @staticmethod
    def of(x: Tensor) -> "Ranges":
        """Compute the ranges of one batch [..., C]."""
        flat = x.reshape(-1, x.shape[-1])
        return Ranges(flat.amin(dim=0), flat.amax(dim=0))

    @staticmethod
    def merge(parts: list["Ranges"]) -> "Ranges":
        """Combine the ranges of several batches."""
        return Ranges(
            torch.stack([part.low for part in parts]).amin(dim=0),
            torch.stack([part.high for part in parts]).amax(dim=0),
        )

    @property
    def magnitude(self) -> Tensor:
        """Largest absolute value of each channel, float32 [C]."""
        return torch.maximum(-self.low, self.high).clamp(min=0)


def norm_grid(seen: Ranges, weights: list[Affine], config: QuantConfig, alpha: float) -> Grid:
    """Choose the grid of a LayerNorm output, with the smoothing of the configuration.

    Args:
        seen: Ranges of the normalised values, without gain and bias.
        weights: Layers that read the output. The paper's smoothing balances their weights against the activations.
        config: The method; ``smoothing`` and ``scales`` count here.
        alpha: The paper's smoothing exponent: 0.35 before q, k and v, and 0.5 before fc1.
    """
    if config.smoothing != "alpha":
        per_channel = config.smoothing == "channel"
        return limit_to_shifter(
            range_grid(seen.magnitude, config.scales, per_channel=per_channel), len(seen.low)
        )
    strongest = (
        torch.stack([layer.weight.abs().amax(dim=0) for layer in weights])
        .amax(dim=0)
        .double()
        .clamp(min=1e-12)
    )
    magnitude = seen.magnitude.double().clamp(min=1e-12)
    factor = torch.log2(magnitude) * alpha - torch.log2(strongest) * (1 - alpha)
    if config.scales != "float":
        factor = factor.round()
    common = log2_scale_for((magnitude / torch.exp2(factor)).max(), 8, config.scales)
    return limit_to_shifter(Grid(common + factor, 8), len(seen.low))


def limit_to_shifter(grid: Grid, channels: int) -> Grid:
    """Clamp exponents to the shifts of the integer LayerNorm. Only channels that are almost zero need it."""
    base = rsqrt_table(channels)[1] + squares_shift(channels)
    return Grid(grid.log2_scale.clamp(SHIFT_LEAST - base, SHIFT_MOST - base), grid.bits)


def query_key_grids(q: Ranges, k: Ranges, heads: int, config: QuantConfig) -> tuple[Grid, Grid]:
    """Choose the grids of queries and keys.

    Exponents are per channel. Within a head, the sum of a query's and a key's exponent is the same for every channel,
    so that their products can be added as integers.
    """
    if not config.channel_exponents:
        return tuple(range_grid(seen.magnitude, config.scales, per_channel=False) for seen in (q, k))  # type: ignore[return-value]
    start_q, start_k = (log2_scale_for(seen.magnitude, 8, config.scales) for seen in (q, k))
    total = (start_q + start_k).view(heads, -1).amax(dim=1).repeat_interleave(len(start_q) // heads)
    slack = (total - start_q - start_k) / 2
    log2_q = start_q + (slack if config.scales == "float" else slack.floor())
    return Grid(log2_q), Grid(total - log2_q)


def gelu_grids(
    seen: Ranges, activation: Activation, low: float, config: QuantConfig, groups: int = 1
) -> tuple[Grid, Grid]:
    """Choose the grids of the activation's input and output, one pair per group of neighbouring channels.

    Args:
        seen: Ranges of the activation's input.
        activation: The function.
        low: Lower end of the input grid; smaller inputs saturate.
        config: The method. Without ``gelu_offset``, grids are symmetric and all channels share one pair.
        groups: Number of groups; it divides the number of channels.
    """
    if not config.gelu_offset:
        magnitude = seen.magnitude.max()
        high = float(seen.high.max().clamp(min=2.0**-10))
        return range_grid(magnitude.view(1), config.scales, per_channel=False), range_grid(
            activate(torch.tensor([high]), activation), config.scales, per_channel=False
        )
    size = len(seen.low) // groups
    most = seen.high.view(-1, size).amax(dim=1).clamp(min=2.0**-10)
    least = torch.minimum(seen.low.view(-1, size).amin(dim=1).clamp(min=low), most - 2.0**-10)
    inputs = offset_grid(least, most, config.scales)
    reach = (
        torch.arange(-128.0, 128.0) + torch.as_tensor(inputs.offset).unsqueeze(1)
    ) * inputs.scale.unsqueeze(1)
    reached = activate(torch.minimum(reach, most.unsqueeze(1)), activation)
    outputs = offset_grid(reached.amin(dim=1), reached.amax(dim=1), config.scales)

    def spread(grid: Grid) -> Grid:
        scale, offset = grid.log2_scale, torch.as_tensor(grid.offset)
        if groups == 1:
            return Grid(scale[0], grid.bits, offset[0])
        return Grid(scale.repeat_interleave(size), grid.bits, offset.repeat_interleave(size))

    return spread(inputs), spread(outputs)


def unturned_grid(seen: Ranges, turned: Grid) -> Grid:
    """Grid of queries or keys before their rotary positions: 16 bits, one exponent per pair of channels.

    Args:
        seen: Ranges before the rotation.
        turned: Grid after it; the operator's shift reaches from one to the other.
    """
    channels = len(seen.low)
    pairs = seen.magnitude.view(-1, 2).amax(dim=1)
    # A bit of room: another photo's values are turned before they are rounded to 8 bits.
    log2_scale = log2_scale_for(2 * pairs, 16, "pot")
    after = turned.log2_scale.expand(channels).view(-1, 2)
    least = after.amax(dim=1) + FRACTION - SHIFTS[1]
    most = after.amin(dim=1) + FRACTION - SHIFTS[0]
    return Grid(torch.minimum(torch.maximum(log2_scale, least), most).repeat_interleave(2), 16)


def gated_grid(seen: Ranges, gate: Grid, linear: Grid, normalised: bool, config: QuantConfig) -> Grid:
    """Grid of the product of a gated MLP, no finer than the product itself and within the operator's shifts.

    Args:
        seen: Ranges of the product.
        gate: Grid of the activation.
        linear: Grid of the other factor.
        normalised: A LayerNorm follows: 16 bits, one exponent for all channels. Otherwise 8 bits.
        config: The method.
    """
    finest = (gate.log2_scale + linear.log2_scale).expand(len(seen.low))
    if normalised:
        grid = range_grid(seen.magnitude * PRODUCT_HEADROOM, config.scales, 16, per_channel=False)
        return Grid(torch.maximum(grid.log2_scale, finest.max()), 16)
    grid = range_grid(seen.magnitude, config.scales, per_channel=config.channel_exponents)
    log2_scale = grid.log2_scale.expand(len(finest))
    return Grid(torch.minimum(torch.maximum(log2_scale, finest), finest + LARGEST_SHIFT), 8)


def tensor_candidates(start: Grid, probe: Tensor) -> list[Grid]:
    """Return two candidates: the grid of the range, and the grid with the least squared error of the tensor itself."""
    return [start, tensor_mse_grid(probe, start, (-1, 0))]


def norm_candidates(start: Grid, probe: Tensor) -> list[Grid]:
    """Return the candidates of a LayerNorm's output, with exponents that the integer LayerNorm's shifter reaches.

    Args:
        start: Grid of the range.
        probe: Normalised values, float32 [B, N, C].
    """
    return [limit_to_shifter(grid, probe.shape[-1]) for grid in tensor_candidates(start, probe)]


def choose(
    candidates: list[dict[str, Grid]], error: Callable[[dict[str, Grid]], float], margin: float = 1.0
) -> dict[str, Grid]:
    """Return the candidate with the least error, or the first of equal ones.

    Args:
        candidates: Grids by name. The first candidate comes from the range.
        error: Computes the error of a candidate.
        margin: Factor on the first candidate's error. Below 1, another candidate must be better by that factor.
    """
    errors = [error(candidate) for candidate in candidates]
    errors[0] *= margin
    return candidates[min(range(len(errors)), key=errors.__getitem__)]
