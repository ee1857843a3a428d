"""Which dense outputs a model can have, and how users name them."""

from collections.abc import Sequence

from p2vit.errors import ModelError, did_you_mean
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.swin_config import SwinConfig
from p2vit.program.maps import FeatureMap
from p2vit.text import is_number

#: Name of the map of the last block's patch tokens.
PATCH_TOKENS = "patch_tokens"
#: What ``--output`` takes, for messages and help.
FORMS = ("tokens", "layers=I,J,...", "embedding")


def is_output(text: str) -> bool:
    """Whether a text names outputs, rather than a folder.

    Args:
        text: What was given as ``--output``.
    """
    return text in ("tokens", "embedding") or text.startswith("layers=")


def feature_maps(wanted: Sequence[str], config: ModelConfig) -> tuple[FeatureMap, ...]:
    """The feature maps that a user asks for.

    Args:
        wanted: ``tokens`` is the last block's patch tokens; ``layers=2,5,8,11`` those behind these blocks, counted from
            0. Every map goes through the model's last LayerNorm.
        config: Shape of the model.

    Returns:
        The maps, in the order of ``wanted``.

    Raises:
        ModelError: a text that is not understood, a block that the model does not have, or a model whose last
            LayerNorm is not for patch tokens.
    """
    found: list[FeatureMap] = []
    grid, first = grid_of(config), config.prefix_tokens
    for text in wanted:
        if text == "tokens":
            found.append(FeatureMap(PATCH_TOKENS, grid, config.depth - 1, first))
        elif text.startswith("layers="):
            found += [FeatureMap(f"layers.{index}", grid, index, first) for index in _blocks(text, config)]
        elif text != "embedding":
            near = did_you_mean(text, ("tokens", "layers=", "embedding"))
            raise ModelError(f"--output {text!r} is not understood.{near} Allowed: {', '.join(FORMS)}")
    names = [each.name for each in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModelError(f"--output: the feature map '{twice}' is asked for twice")
    if found and isinstance(config, ViTConfig) and config.pool_before_norm:
        raise ModelError(
            f"--output {wanted[0]}: the last LayerNorm of {config.name} is for the mean over its patches, not for each "
            "patch, so there are no normalised patch tokens. Choose a model that reads its class token, or that "
            "averages behind the LayerNorm"
        )
    return tuple(found)


def grid_of(config: ModelConfig) -> tuple[int, int]:
    """Patches of the last block, (rows, columns)."""
    if isinstance(config, SwinConfig):
        return config.stage_grid(len(config.depths) - 1)
    return config.grid


def _blocks(text: str, config: ModelConfig) -> list[int]:
    """The blocks of ``layers=...``, each one that the model has and whose channels the last LayerNorm takes."""
    parts = [part.strip() for part in text.removeprefix("layers=").split(",")]
    wide = [index for index, block in enumerate(config.blocks) if block.dim == config.blocks[-1].dim]
    allowed = f"{wide[0]} to {wide[-1]}" if len(wide) > 1 else str(wide[0])
    blocks = []
    for part in parts:
        if not is_number(part):
            raise ModelError(
                f"--output {text}: {part!r} is not the number of a block; write layers=2,5 with blocks counted from 0"
            )
        if int(part) not in wide:
            why = (
                "the last LayerNorm takes those of the last stage"
                if int(part) < wide[0]
                else "counted from 0"
            )
            raise ModelError(
                f"--output {text}: block {part} of {config.name} cannot be had; allowed: {allowed} ({why})"
            )
        blocks.append(int(part))
    return blocks
