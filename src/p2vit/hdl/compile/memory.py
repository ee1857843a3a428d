"""Memory image: the constants at their addresses, and space for every tensor.

No two tensors share addresses, so that the output of every layer can be read and compared after a run.
"""

import numpy as np

from p2vit.numerics.rounding import IntArray


class MemoryImage:
    """Allocates words one after the other and keeps the constants until the image is made.

    Args:
        lines: Bytes per word.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.words = 0
        self.constant_words = 0
        self._constants: list[tuple[int, IntArray]] = []

    def reserve(self, words: int) -> int:
        """Allocate words and return the first address."""
        at = self.words
        self.words += words
        return at

    def constant(self, words: IntArray) -> int:
        """Allocate constant words and return their address.

        Args:
            words: uint8 [n, lines].
        """
        at = self.reserve(len(words))
        self._constants.append((at, np.ascontiguousarray(words, np.uint8)))
        self.constant_words += len(words)
        return at

    def image(self) -> IntArray:
        """Make the image, uint8 [words, lines]; words without a constant are zero."""
        memory = np.zeros((self.words, self.lines), np.uint8)
        for at, words in self._constants:
            memory[at : at + len(words)] = words
        return memory
