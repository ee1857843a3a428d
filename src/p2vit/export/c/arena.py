"""Allocation of tensors in one block of memory (the arena); tensors may share memory at different times."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Offsets are multiples of this number of bytes, which suits every integer type.
ALIGNMENT = 4


@dataclass(frozen=True)
class Lifetime:
    """A buffer, and the steps during which it is in use.

    Attributes:
        name: Name of the tensor.
        size: Bytes.
        first: Number of the step that writes it.
        last: Number of the last step that reads it.
    """

    name: str
    size: int
    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        """Return whether both are in use at the same step."""
        return self.first <= other.last and other.first <= self.last


def aligned(size: int) -> int:
    """Round a size up to a multiple of ``ALIGNMENT``."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def assign_offsets(lifetimes: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Assign an offset to every buffer: the largest first, each at the lowest free offset.

    Args:
        lifetimes: The buffers.

    Returns:
        Name → offset in bytes, and the size of the arena in bytes. The same buffers always get the same offsets.
    """
    placed: list[tuple[int, Lifetime]] = []
    for buffer in sorted(lifetimes, key=lambda each: (-each.size, each.first, each.name)):
        taken = sorted((offset, other.size) for offset, other in placed if other.overlaps(buffer))
        lowest = 0
        for offset, size in taken:
            if lowest + buffer.size <= offset:
                break
            lowest = max(lowest, aligned(offset + size))
        placed.append((lowest, buffer))
    total = max((aligned(offset + buffer.size) for offset, buffer in placed), default=0)
    return {buffer.name: offset for offset, buffer in placed}, total
