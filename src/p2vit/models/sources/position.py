"""Position embeddings for another grid of patches."""

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
        size: Patches wanted, (rows, columns).
        antialias: As the source library does: timm does, Hugging Face and DINOv2 do not.
        always_square: The grid is square even where ``size`` is not and has as many patches; otherwise such a
            grid is taken to be of that size already.

    Returns:
        Float [rows · columns, C]; the input itself when the size is the same.

    Raises:
        ModelError: the embeddings are not a square grid.
    """
    count, channels = grid.shape
    side = math.isqrt(count)
    if (side, side) == size:
        return grid
    if count == size[0] * size[1] and not (always_square and side * side == count):
        return grid  # already for this grid, which is not square
    if side * side != count:
        raise ModelError(
            f"{count} position embeddings are no square grid, so they cannot be resampled to {size}"
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
    """Bring a source's position table to one row per token.

    Sources differ: a row for every token; for class token and patches but not for registers; or for patches
    alone. Which one it is shows in the number of rows that are left of a square grid.

    Args:
        table: Float [rows, C] or [1, rows, C], or None for a model without.
        prefix_tokens: Class token and registers of the model.
        grid: Patches wanted, (rows, columns).
        channels: C.
        antialias: See `resample_grid`.
        always_square: See `resample_grid`.

    Returns:
        Float [prefix_tokens + rows · columns, C], zeros where the source has none.

    Raises:
        ModelError: the number of rows fits none of the three.
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
    """Refuse positions for more tokens than a file has, and name those that are missing.

    Args:
        rows: Position embeddings.
        prefix: Tokens before the patches that the file has.
        grid: Patches of the architecture, (rows, columns).
        source: Named in errors.

    Raises:
        ModelError: the file lacks tokens.
    """
    patches = grid[0] * grid[1]
    if not rows or any(
        rows - tokens == patches or _is_square(rows - tokens) for tokens in (prefix, min(1, prefix), 0)
    ):
        return
    for tokens, missing in ((2, "a distillation token (dist_token)"), (5, "four registers (reg_token)")):
        if tokens > prefix and (rows - tokens == patches or _is_square(rows - tokens)):
            raise ModelError(
                f"{source}: {rows} position embeddings are {rows - tokens} patches and {tokens} tokens before, but "
                f"the file has {prefix}; missing is {missing}. Take the whole state dict of the model it was cut from"
            )


def _is_square(count: int) -> bool:
    """Tell whether so many patches can form a square grid."""
    return count > 0 and math.isqrt(count) ** 2 == count
