"""The memory image: constants at their addresses, and room for every tensor.

Every tensor has addresses of its own, so that after a run each layer's output can be read and compared.
"""

import numpy as np

from p2vit.numerics.rounding import IntArray


class MemoryImage:
    """Words are given out one after the other; constants are remembered until the image is asked for.

    Args:
        lines: Bytes of a word.
    """

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.words = 0
        self.constant_words = 0
        self._constants: list[tuple[int, IntArray]] = []

    def reserve(self, words: int) -> int:
        """First address of that many fresh words."""
        at = self.words
        self.words += words
        return at

    def constant(self, words: IntArray) -> int:
        """Put constant words and return their address.

        Args:
            words: uint8 [n, lines].
        """
        at = self.reserve(len(words))
        self._constants.append((at, np.ascontiguousarray(words, np.uint8)))
        self.constant_words += len(words)
        return at

    def image(self) -> IntArray:
        """uint8 [words, lines]; zero where no constant stands."""
        memory = np.zeros((self.words, self.lines), np.uint8)
        for at, words in self._constants:
            memory[at : at + len(words)] = words
        return memory
