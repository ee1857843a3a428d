"""Resample position embeddings to another grid of patches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.errors import ModelError


def resample_grid(
    grid: Tensor, size: tuple[int, int], *, antialias: bool, always_square: bool = False
) -> Tensor:
    """Resample the embeddings of a square grid of patches, bicubic.

    Args:
        grid: Float [n², C], row by row.
        size: Wanted grid, (rows, columns).
        antialias: Whether to use antialiasing, as the source library does: timm yes, Hugging Face and DINOv2 no.
        always_square: How to read a table with as many patches as a non-square ``size``. If true, it is a square
            grid if possible; otherwise it already has the wanted size.

    Returns:
        Float [rows · columns, C]; the input itself if it already has the wanted size.

    Raises:
        ModelError: The embeddings do not form a square grid.
    """
    count, channels = grid.shape
    side = math.isqrt(count)
    if (side, side) == size:
        return grid
    if count == size[0] * size[1] and not (always_square and side * side == count):
        return grid  # the table already has the wanted size, which is not square
    if side * side != count:
        raise ModelError(
            f"{count} position embeddings do not form a square grid, so they cannot be resampled to "
            f"{size[0]} × {size[1]} patches"
        )
    with torch.no_grad():
        photo = grid.float().reshape(1, side, side, channels).permute(0, 3, 1, 2)
        photo = F.interpolate(photo, size=size, mode="bicubic", align_corners=False, antialias=antialias)
        return photo.permute(0, 2, 3, 1).reshape(-1, channels)


def full_positions(
    table: Tensor | None,
    prefix_tokens: int,
    grid: tuple[int, int],
    channels: int,
    *,
    antialias: bool,
    always_square: bool = False,
) -> Tensor:
    """Convert a source's position table to one row per token.

    Sources have a row for every token; for the class token and patches, but not for registers; or for patches alone.
    The number of rows tells which: what remains for the patches must form the wanted grid or a square one.

    Args:
        table: Float [rows, C] or [1, rows, C], or None if the model has no table.
        prefix_tokens: Number of tokens before the patch tokens.
        grid: Wanted grid of patches, (rows, columns).
        channels: C.
        antialias: See `resample_grid`.
        always_square: See `resample_grid`.

    Returns:
        Float [prefix_tokens + rows · columns, C]; zeros for tokens without a row in the source.

    Raises:
        ModelError: The number of rows fits none of the three kinds.
    """
    patches = grid[0] * grid[1]
    full = torch.zeros(prefix_tokens + patches, channels)
    if table is None:
        return full
    table = table.reshape(-1, channels).float()
    kinds = list(dict.fromkeys((prefix_tokens, min(1, prefix_tokens), 0)))
    fitting = [extra for extra in kinds if len(table) - extra == patches]
    square = [extra for extra in kinds if len(table) > extra and _is_square(len(table) - extra)]
    for extra in fitting + square:
        full[:extra] = table[:extra]
        full[prefix_tokens:] = resample_grid(
            table[extra:], grid, antialias=antialias, always_square=always_square
        )
        return full
    raise ModelError(
        f"{len(table)} position embeddings fit neither the {patches} patches of a {grid[0]} × {grid[1]} grid "
        f"(with or without {prefix_tokens} prefix tokens) nor any square grid"
    )


def check_rows(rows: int, prefix: int, grid: tuple[int, int], source: str) -> None:
    """Refuse a position table with rows for tokens that the file does not contain.

    Args:
        rows: Rows of the position table.
        prefix: Number of tokens before the patch tokens in the file.
        grid: Patches of the architecture, (rows, columns).
        source: Name of the source for error messages.

    Raises:
        ModelError: Tokens are missing. The message names them.
    """
    patches = grid[0] * grid[1]
    if not rows or any(
        rows - tokens == patches or _is_square(rows - tokens) for tokens in (prefix, min(1, prefix), 0)
    ):
        return
    for tokens, missing in ((2, "a distillation token (dist_token)"), (5, "four registers (reg_token)")):
        if tokens > prefix and (rows - tokens == patches or _is_square(rows - tokens)):
            raise ModelError(
                f"{source}: {rows} position embeddings are for {rows - tokens} patches and {tokens} other tokens, "
                f"but the file has {prefix} such tokens; missing: {missing}. Use the complete state dict of the model"
            )


def _is_square(count: int) -> bool:
    """Return whether that number of patches forms a square grid."""
    return count > 0 and math.isqrt(count) ** 2 == count
