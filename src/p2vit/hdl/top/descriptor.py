"""Descriptors: 256-bit words, one per action of an engine. ``FIELDS`` defines both encoding and decoding.

A descriptor goes to one of four queues, by its kind. Each queue is executed in order. The descriptors also synchronize
the queues. A load may *open* a buffer slot (it waits for a free slot) and *close* it (the slot is then full). A run
*takes* a slot (it waits until the slot is full) and *releases* it. A load waits until ``after`` stores are done, so
that it never reads data that is not written yet.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2vit.hdl.descriptor_word import DescriptorWord
from p2vit.numerics.layernorm import EPSILON_BITS

#: Width of a descriptor in bits.
DESCRIPTOR_BITS = 256
DESCRIPTOR_BYTES = DESCRIPTOR_BITS // 8


class Kind(IntEnum):
    """Kind of a descriptor, which selects its queue; END goes to the load queue."""

    LOAD, ARRAY, VECTOR, STORE, END = range(5)


class Dest(IntEnum):
    """Destination of a load."""

    ROWS, WEIGHTS, COLUMN_PARAMETERS, VECTOR, VECTOR_PARAMETERS, TABLE, NORM_TABLE, LINE_PARAMETERS = range(8)


class Mode(IntEnum):
    """Output stage of the array: bias and shift per column or per line, division by the row sum, or none."""

    COLUMN, LINE, QUOTIENT, RAW = range(4)


class VectorOp(IntEnum):
    """Operation of the vector engine."""

    COPY, LOOKUP, ADD, AFFINE, LAYERNORM, SOFTMAX, SUM = range(7)


class Source(IntEnum):
    """Engine whose output a store writes."""

    ARRAY, VECTOR = range(2)


_KIND = (("kind", 3),)

#: Kind → fields with their widths in bits, from bit 0 up. Negative numbers are in two's complement.
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
        # Gather: for every line, `inner` bytes in each of `outer` pixel rows. A pitch is a number of words and of
        # bytes.
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
        ("pairs", 1),
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
class Descriptor(DescriptorWord):
    """One action of an engine of the load–store organisation, a 256-bit word."""

    fields_of = FIELDS
    size = DESCRIPTOR_BYTES

    kind: Kind


def check_end_layout() -> None:
    """Check that ``after`` of LOAD and END have the same bits, because one comparator serves both."""

    def place(kind: Kind) -> int:
        at = 0
        for name, width in FIELDS[kind]:
            if name == "after":
                return at
            at += width
        raise AssertionError

    assert place(Kind.LOAD) == place(Kind.END), (place(Kind.LOAD), place(Kind.END))


check_end_layout()
