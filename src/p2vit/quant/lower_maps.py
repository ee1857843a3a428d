"""The operators of outputs beside the logits: feature maps and image embeddings."""

from typing import TYPE_CHECKING

from p2vit.quant.embedding import EPSILON, QuantizedEmbedding
from p2vit.quant.grid import Grid
from p2vit.quant.lower_norm import affine, layer_norm, normal_exponent
from p2vit.quant.lower_operators import linear
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
        Name of the node that writes the map, int8 [N, C]; the map begins behind the prefix tokens.
    """
    name, channels = found.map.name, lowering.builder.tensors[stream].shape[-1]
    normal = normal_exponent(channels)
    norm = layer_norm(channels, grid, normal, lowering.model.config.norm_eps, 16)
    lowering.add(f"{name}.norm", norm, [stream], normal)
    operator = affine(found.norm.weight, found.norm.bias, normal, found.grid)
    return lowering.add(name, operator, [f"{name}.norm"], found.grid)


def lower_embedding(lowering: "Lowering", found: QuantizedEmbedding, pooled: str) -> str:
    """Append the layers of an image embedding.

    Args:
        lowering: Where to.
        found: The layers.
        pooled: Name of the pooled vector.

    Returns:
        Name of the node that writes the embedding, int8 [1, P].
    """
    lowering.add("projection", linear(found.projection, found.projected), [pooled], found.projected)
    channels = len(found.projection.weight)
    norm = layer_norm(channels, found.projected, found.normal.exponents(), EPSILON, 8)
    lowering.add("normalised", norm, ["projection"], found.normal)
    return lowering.add("embedding", linear(found.halves, found.grid), ["normalised"], found.grid)
