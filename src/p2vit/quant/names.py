"""Names of a model's linear layers, as in its integer program, and the check of widths given by name."""

from torch import nn

from p2vit.errors import P2vitError, did_you_mean, some
from p2vit.models.canonical import CanonicalViT
from p2vit.quant.config import QuantConfig

#: Layers whose width is :attr:`QuantConfig.head_bits`.
ENDS = ("patch_embed", "projection", "head")
#: Smallest and largest weight width in bits.
NARROWEST, WIDEST = 2, 8


def linear_layers(model: CanonicalViT) -> dict[str, nn.Linear]:
    """Return the linear layers by name: ``patch_embed``, ``blocks.3.attn.q``, ``pool.mlp.fc1`` and so on."""
    return {_name(path): module for path, module in model.named_modules() if isinstance(module, nn.Linear)}


def _name(path: str) -> str:
    """Return the name of the layer at a path of the float model, such as ``blocks.3.q`` or ``attention_pool.fc1``."""
    block, _, part = path.rpartition(".")
    if not block or part == "reduction":
        return path
    return f"{block.replace('attention_pool', 'pool')}.{'mlp' if part.startswith(('fc', 'up')) else 'attn'}.{part}"


def check_widths(model: CanonicalViT, config: QuantConfig) -> None:
    """Check that every width is allowed and belongs to a layer of the model.

    Raises:
        P2vitError: ``layer_bits`` names a layer that the model does not have, or whose width is ``head_bits``; or a
            width is not a whole number from 2 to 8.
    """
    layers = [name for name in linear_layers(model) if name not in ENDS]
    for name in config.layer_bits:
        if name in ENDS:
            raise P2vitError(
                f"layer_bits names {name!r}, whose width is head_bits ({config.head_bits}). Set head_bits instead"
            )
        if name not in layers:
            raise P2vitError(
                f"layer_bits names {name!r}, which is not a layer of {model.config.name}."
                f"{did_you_mean(str(name), layers)} Its layers: {some(layers, 6)}"
            )
    widths = {"weight_bits": config.weight_bits, "head_bits": config.head_bits}
    widths |= {f"layer_bits of {name!r}": bits for name, bits in config.layer_bits.items()}
    for what, bits in widths.items():
        if type(bits) is not int or not NARROWEST <= bits <= WIDEST:
            raise P2vitError(
                f"{what}: {bits!r} is not a weight width. Allowed are {NARROWEST} to {WIDEST} bits"
            )
