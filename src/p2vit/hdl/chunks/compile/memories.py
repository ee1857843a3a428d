"""Allocates tensors in the memories on the chip, with the lifetime of every tensor."""

from dataclasses import dataclass, field

from p2vit.hdl.compile.errors import require


@dataclass
class Room:
    """Memory on the chip: words are allocated first fit, and freed when the last reader has been placed.

    Attributes:
        name: Name of the size of the machine, for messages.
        words: Number of words.
        used: Most words that were allocated at once, from address 0.
    """

    name: str
    words: int
    used: int = 0
    _taken: dict[int, int] = field(default_factory=dict)

    def allocate(self, node: str, words: int) -> int:
        """Allocate words for a tensor and return their address.

        Raises:
            UnfitProgramError: The memory is too small. The message names the size that would be enough here.
        """
        at = 0
        for base in sorted(self._taken):
            if base - at >= words:
                break
            at = base + self._taken[base]
        require(
            at + words <= self.words,
            node,
            f"it takes {words} words, of which the memory of {self.words} words has no room",
            f"raise {self.name} to {at + words} or more",
        )
        self._taken[at] = words
        self.used = max(self.used, at + words)
        return at

    def free(self, at: int) -> None:
        """Free the words of a tensor."""
        del self._taken[at]
