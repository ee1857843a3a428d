"""Layout of tensors in external memory.

All tensors have the same form. The rows (tokens) are divided into groups of as many rows as the machine has lines. A
group stores its columns one after the other. A column takes one word per byte of its numbers, low byte first. Byte l
of a word belongs to row l of the group. So each word holds one number, or one byte of it, for every line.
"""

from dataclasses import dataclass

import numpy as np

from p2vit.numerics.rounding import IntArray


@dataclass(frozen=True)
class TensorLayout:
    """Layout of a matrix, or of a stack of matrices, in memory.

    Attributes:
        base: Address of the first word.
        rows: Rows of one matrix.
        columns: Columns of one matrix.
        bytes_each: Bytes per number: 1, 2 or 4.
        lines: Rows per group.
        first_row: Line of group 0 that holds row 0; earlier lines are not part of the tensor.
        stack: Number of matrices (heads).
        extra: Further words after each group, for the row sums of softmax codes.
        transposed: Whether the rows are channels and each head begins a new group, as for the values of attention.
    """

    base: int
    rows: int
    columns: int
    bytes_each: int
    lines: int
    first_row: int = 0
    stack: int = 1
    extra: int = 0
    transposed: bool = False

    @property
    def groups(self) -> int:
        """Number of row groups of one matrix."""
        return -(-(self.first_row + self.rows) // self.lines)

    @property
    def stride(self) -> int:
        """Words from the start of one group to the start of the next."""
        return self.columns * self.bytes_each + self.extra

    @property
    def words(self) -> int:
        """Number of words of the whole tensor."""
        return self.stack * self.groups * self.stride

    def at(self, group: int, column: int = 0, head: int = 0) -> int:
        """Return the word address of a column."""
        return self.base + (head * self.groups + group) * self.stride + column * self.bytes_each

    def encode(self, matrices: IntArray) -> IntArray:
        """Convert a tensor to memory words.

        Args:
            matrices: Integers [stack, rows, columns].

        Returns:
            uint8 [words, lines]; bytes that are not part of the tensor are zero.
        """
        stack, rows, columns = matrices.shape
        width = np.dtype(f"<i{self.bytes_each}")
        low = matrices.astype(np.int64) & ((1 << (8 * self.bytes_each)) - 1)
        padded = np.zeros((stack, self.groups * self.lines, columns), np.dtype(f"<u{self.bytes_each}"))
        padded[:, self.first_row : self.first_row + rows] = low
        grouped = padded.view(width).reshape(stack, self.groups, self.lines, columns)
        planes = grouped.transpose(0, 1, 3, 2).copy().view(np.uint8)
        planes = planes.reshape(stack, self.groups, columns, self.lines, self.bytes_each).swapaxes(-1, -2)
        words = planes.reshape(stack, self.groups, columns * self.bytes_each, self.lines)
        out = np.zeros((stack, self.groups, self.stride, self.lines), np.uint8)
        out[:, :, : columns * self.bytes_each] = words
        return out.reshape(-1, self.lines)

    def decode(self, memory: IntArray, signed: bool) -> IntArray:
        """Read the matrices from a memory: int64 [stack, rows, columns].

        Args:
            memory: Whole memory, uint8 [words, lines].
            signed: Whether the numbers are in two's complement.
        """
        words = memory[self.base : self.base + self.words].reshape(
            self.stack, self.groups, self.stride, self.lines
        )
        words = words[:, :, : self.columns * self.bytes_each]
        planes = words.reshape(self.stack, self.groups, self.columns, self.bytes_each, self.lines)
        numbers = np.ascontiguousarray(planes.transpose(0, 1, 4, 2, 3))
        whole = numbers.view(np.dtype(f"<{'i' if signed else 'u'}{self.bytes_each}"))[..., 0]
        rows = whole.reshape(self.stack, self.groups * self.lines, self.columns)
        return rows[:, self.first_row : self.first_row + self.rows].astype(np.int64)


def pack_nibbles(matrix: IntArray) -> IntArray:
    """Pack two 4-bit terms per byte, the even term in the low nibble: [rows, K] → int8 [rows, ⌈K/2⌉]."""
    rows, terms = matrix.shape
    even = np.zeros((rows, terms + terms % 2), np.int64)
    even[:, :terms] = matrix
    packed = (even[:, 0::2] & 15) | ((even[:, 1::2] & 15) << 4)
    return packed.astype(np.uint8).view(np.int8)


def pack_columns(weight: IntArray) -> IntArray:
    """Pack the 4-bit weights of two columns per byte, the even column in the low half: [N, K] → int8 [⌈N/2⌉, K]."""
    return np.ascontiguousarray(pack_nibbles(weight.T).T)


def column_parameters(lines: int, **fields: IntArray | int) -> IntArray:
    """Pack the parameters of columns into words: bias 32 bits, gain 16, shift 6, left_a 4, left_b 4.

    Args:
        lines: Bytes per word.
        fields: Name → one number per column, or one number for all columns. At least one must be an array.

    Returns:
        uint8 [columns · words per column, lines].
    """
    layout = (("bias", 32, 0), ("gain", 16, 32), ("shift", 6, 48), ("left_a", 4, 54), ("left_b", 4, 58))
    count = max(np.size(value) for value in fields.values())
    packed = np.zeros(count, np.uint64)
    for name, width, at in layout:
        if name in fields:
            value = np.broadcast_to(np.asarray(fields[name], dtype=np.int64), (count,))
            packed |= (value & ((1 << width) - 1)).astype(np.uint64) << np.uint64(at)
    raw = packed.astype("<u8").view(np.uint8).reshape(count, 8)
    each = -(-8 // lines)
    words = np.zeros((count, each * lines), np.uint8)
    words[:, :8] = raw
    return words.reshape(-1, lines)
