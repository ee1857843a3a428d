"""The operators of a feature map: the patch tokens of the stream, LayerNorm, gain and bias."""

from typing import TYPE_CHECKING

import numpy as np

from p2vit.quant.grid import Grid
from p2vit.quant.lower_norm import affine, layer_norm, normal_exponent
from p2vit.quant.maps import QuantizedMap

if TYPE_CHECKING:
    from p2vit.quant.lower import Lowering


def lower_map(lowering: "Lowering", found: QuantizedMap, stream: str, grid: Grid) -> str:
    """Append a feature map behind a block.

    Args:
        lowering: Where to.
        found: The map.
        stream: Name of the residual stream behind its block.
        grid: Of that stream.

    Returns:
        Name of the node that writes the map, int8 [patches, C].
    """
    name, (tokens, channels) = found.map.name, lowering.builder.tensors[stream].shape
    if found.first:
        patches = np.arange(found.first, tokens)[:, None]
        stream = lowering.gather(f"{name}.patches", patches, [stream], grid)
    normal = normal_exponent(channels)
    norm = layer_norm(channels, grid, normal, lowering.model.config.norm_eps, 16)
    lowering.add(f"{name}.norm", norm, [stream], normal)
    operator = affine(found.norm.weight, found.norm.bias, normal, found.grid)
    return lowering.add(name, operator, [f"{name}.norm"], found.grid)
