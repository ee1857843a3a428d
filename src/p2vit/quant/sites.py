"""Grids of the activations of one block: starting points from ranges, candidates, and the block's verdict."""

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

#: Shifts of the integer LayerNorm's last step, and of attention × values.
SHIFT_LEAST, SHIFT_MOST = 14, 30
#: A grid that clips must take a tenth of the half block's error away: on other photos it clips more.
CLIP_MARGIN = 0.9
#: The GELU and its kin are flat below this; a finer grid may saturate there.
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
    """Per-channel ranges of a tensor over all calibration photos.

    Attributes:
        low: float32 [C].
        high: float32 [C].
    """

    low: Tensor
    high: Tensor

    @staticmethod
    def of(x: Tensor) -> "Ranges":
        """Of one batch [..., C]."""
        flat = x.reshape(-1, x.shape[-1])
        return Ranges(flat.amin(dim=0), flat.amax(dim=0))

    @staticmethod
    def merge(parts: list["Ranges"]) -> "Ranges":
        """Over batches."""
        return Ranges(
            torch.stack([part.low for part in parts]).amin(dim=0),
            torch.stack([part.high for part in parts]).amax(dim=0),
        )

    @property
    def magnitude(self) -> Tensor:
        """Largest absolute value of each channel."""
        return torch.maximum(-self.low, self.high).clamp(min=0)


def norm_grid(seen: Ranges, weights: list[Affine], config: QuantConfig, alpha: float) -> Grid:
    """Grid of a LayerNorm output, by the smoothing of the configuration.

    Args:
        seen: Of the bare normalised values.
        weights: Of the layers that read it; the paper's factors weigh them against the activations.
        config: Says which smoothing.
        alpha: The paper's exponent: 0.35 before q, k, v and 0.5 before fc1.
    """
    if config.smoothing != "alpha":
        per_channel = config.smoothing == "channel"
        return within_shifter(
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
    return within_shifter(Grid(common + factor, 8), len(seen.low))


def within_shifter(grid: Grid, channels: int) -> Grid:
    """Keep exponents to those that the integer LayerNorm's shifter reaches; only silent channels come near."""
    base = rsqrt_table(channels)[1] + squares_shift(channels)
    return Grid(grid.log2_scale.clamp(SHIFT_LEAST - base, SHIFT_MOST - base), grid.bits)


def query_key_grids(q: Ranges, k: Ranges, heads: int, config: QuantConfig) -> tuple[Grid, Grid]:
    """Grids of queries and keys: per channel, with one sum of exponents in each head, so that scores can be summed."""
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
    """Grids of the activation's input and output, one pair for each group of neighbouring channels.

    Args:
        seen: Of the activation's input.
        activation: Which.
        low: The lowest input that is still told apart.
        config: Says whether grids may have offsets; without them there is one pair for all.
        groups: Divides the channels.
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
    """What the block may choose between: the range, and the tensor's own optimum, which may be a step finer."""
    return [start, tensor_mse_grid(probe, start, (-1, 0))]


def choose(
    candidates: list[dict[str, Grid]], error: Callable[[dict[str, Grid]], float], margin: float = 1.0
) -> dict[str, Grid]:
    """The candidate with the least error; the first one wins ties.

    Args:
        candidates: The first is what the range gives.
        error: Of a trial.
        margin: Share of the first one's error that another must come below.
    """
    errors = [error(candidate) for candidate in candidates]
    errors[0] *= margin
    return candidates[min(range(len(errors)), key=errors.__getitem__)]
