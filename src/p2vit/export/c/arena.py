"""Places in one block of memory for tensors that do not all live at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Every tensor starts at a multiple of this, so that any integer type may lie there.
ALIGNMENT = 4


@dataclass(frozen=True)
class Lifetime:
    """One buffer and when it is in use.

    Attributes:
        name: Of the tensor.
        size: Bytes.
        first: Step that writes it.
        last: Last step that reads it.
    """

    name: str
    size: int
    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        """Whether both are in use at some step."""
        return self.first <= other.last and other.first <= self.last


def aligned(size: int) -> int:
    """The size, rounded up to whole alignments."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def assign_offsets(lifetimes: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Give every buffer an offset, the largest first, each as low as it fits.

    Args:
        lifetimes: The buffers.

    Returns:
        (name → offset in bytes, bytes in all). The same buffers give the same places.
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
