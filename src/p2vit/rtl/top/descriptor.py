"""The descriptor stream: 256-bit words, one per action of an engine, encoded here and decoded by the same list.

Descriptors go to four queues by their kind and are executed in order within a queue. What orders the queues among
each other is said in the descriptors: a load may *open* a buffer slot (it waits for a free one) and *close* it (then
it is full); whoever reads a slot *takes* it (waits until it is full) and *releases* it; a load waits until ``after``
stores have been done, so that it never reads what is not written yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from p2vit.numerics.layernorm import EPSILON_BITS

#: Width of a descriptor.
DESCRIPTOR_BITS = 256
DESCRIPTOR_BYTES = DESCRIPTOR_BITS // 8


class Kind(IntEnum):
    """Which queue a descriptor goes to; END goes to the load queue."""

    LOAD, ARRAY, VECTOR, STORE, END = range(5)


class Dest(IntEnum):
    """Where a load puts its words."""

    ROWS, WEIGHTS, COLUMN_PARAMETERS, VECTOR, VECTOR_PARAMETERS, TABLE, NORM_TABLE, LINE_PARAMETERS = range(8)


class Mode(IntEnum):
    """What stands behind the array: bias and shift per column, per line, the division by the row sum, or nothing."""

    COLUMN, LINE, QUOTIENT, RAW = range(4)


class VectorOp(IntEnum):
    """What the vector chunk does with a column of tokens."""

    COPY, LOOKUP, ADD, AFFINE, LAYERNORM, SOFTMAX, SUM = range(7)


class Source(IntEnum):
    """Whose output a store writes."""

    ARRAY, VECTOR = range(2)


_KIND = (("kind", 3),)

#: Kind → fields with their widths, from bit 0 up. Negative numbers are two's complement.
FIELDS: dict[Kind, tuple[tuple[str, int], ...]] = {
    Kind.LOAD: (
        *_KIND,
        ("dest", 3),
        ("open", 1),
        ("close", 1),
        ("nibbles", 1),
        ("gather", 1),
        ("plane", 2),
        ("planes", 3),
        ("address", 32),
        ("inner", 16),
        ("outer", 16),
        ("stride", 32),
        ("after", 24),
        # Gather: `inner` bytes in each of `outer` pixel rows, for every line; pitches in words and bytes.
        ("byte", 8),
        ("line_first", 8),
        ("line_end", 8),
        ("grid_column", 12),
        ("grid_width", 12),
        ("pitch_word", 8),
        ("pitch_byte", 8),
        ("wrap_word", 16),
        ("wrap_byte", 8),
        ("row_byte", 8),
    ),
    Kind.ARRAY: (
        *_KIND,
        ("columns", 16),
        ("chunks", 16),
        ("tail", 8),
        ("signed_rows", 1),
        ("take_rows", 1),
        ("release_rows", 1),
        ("take_weights", 1),
        ("release_weights", 1),
        ("take_parameters", 1),
        ("release_parameters", 1),
        ("mode", 2),
        ("planes", 3),
        ("log2", 1),
        ("guard", 4),
        ("weight_row", 16),
        ("first_parameter", 16),
    ),
    Kind.VECTOR: (
        *_KIND,
        ("op", 3),
        ("count", 16),
        ("take", 1),
        ("release", 1),
        ("take_parameters", 1),
        ("release_parameters", 1),
        ("take_table", 1),
        ("release_table", 1),
        ("emit", 1),
        ("planes", 3),
        ("line_first", 8),
        ("line_end", 8),
        ("group_columns", 16),
        ("softmax_shift", 6),
        ("log2", 1),
        ("guard", 4),
        ("limit", 16),
        ("epsilon", EPSILON_BITS + 1),
        ("epsilon_shift", 6),
        ("squares_shift", 4),
        ("first", 1),
        ("flip", 1),
        ("narrow_a", 1),
        ("narrow_b", 1),
    ),
    Kind.STORE: (*_KIND, ("source", 1), ("address", 32), ("columns", 16), ("planes", 3)),
    Kind.END: (*_KIND, ("_unused", 108), ("after", 24)),
}


@dataclass(frozen=True)
class Descriptor:
    """One action.

    Attributes:
        kind: Its queue.
        values: Field → integer; what is not given is 0.
        node: Step of the program it belongs to; not encoded.
    """

    kind: Kind
    values: Mapping[str, int]
    node: str = field(default="", compare=False)

    def __getitem__(self, name: str) -> int:
        return self.values.get(name, 0)

    def encode(self) -> int:
        """The 256-bit word.

        Raises:
            ValueError: a field that the kind does not have, or a value that does not fit it; a defect of the compiler.
        """
        layout = FIELDS[self.kind]
        unknown = set(self.values) - {name for name, _ in layout}
        if unknown:
            raise ValueError(f"{self.kind.name} has no fields {sorted(unknown)}")
        word, at = 0, 0
        for name, width in layout:
            value = int(self.kind) if name == "kind" else int(self.values.get(name, 0))
            if not -(1 << (width - 1)) <= value < 1 << width:
                raise ValueError(
                    f"{self.kind.name}.{name} is {value}; {width} bits do not hold it ({self.node})"
                )
            word |= (value & ((1 << width) - 1)) << at
            at += width
        assert at <= DESCRIPTOR_BITS
        return word

    def to_bytes(self) -> bytes:
        """The word, little-endian."""
        return self.encode().to_bytes(DESCRIPTOR_BYTES, "little")


def check_end_layout() -> None:
    """``after`` of LOAD and END stand at the same bits, so that one comparator serves both."""

    def place(kind: Kind) -> int:
        at = 0
        for name, width in FIELDS[kind]:
            if name == "after":
                return at
            at += width
        raise AssertionError

    assert place(Kind.LOAD) == place(Kind.END), (place(Kind.LOAD), place(Kind.END))


check_end_layout()
