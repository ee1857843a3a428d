"""Descriptors of the chunk organisation: 384-bit words, one per operation of a chunk.

A descriptor goes to the queue of its chunk. The chunks synchronize by counters of what is written: results of the
array, rows of the LayerNorm and of the softmax, and words that were loaded. A descriptor says which counter it waits
for and how the awaited count grows from operand to operand. So a chunk follows another one row by row.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2vit.hdl.descriptor_word import DescriptorWord
from p2vit.numerics.layernorm import EPSILON_BITS

#: Width of a descriptor in bits.
DESCRIPTOR_BITS = 384
DESCRIPTOR_BYTES = DESCRIPTOR_BITS // 8


class Kind(IntEnum):
    """Kind of a descriptor, which selects its queue; END goes to the queue of the array."""

    LOAD, ARRAY, NORM, SOFTMAX, END = range(5)


class LoadTo(IntEnum):
    """Destination of a load."""

    WEIGHTS, NORM_PARAMETERS, ROOTS, STREAM, PATCHES = range(5)


class Operand(IntEnum):
    """Memory that the broadcast operand of the array comes from, and counter that its operation waits for."""

    NORM, OPERANDS, CODES, PATCHES = range(4)


class Dest(IntEnum):
    """Memory that the array writes."""

    STREAM, OPERANDS, KEYS, SCORES, EXTERNAL = range(5)


class Result(IntEnum):
    """Output stage of the array: bias and shift, division by the row sum, or the accumulator with its bias."""

    SHIFT, QUOTIENT, RAW = range(3)


_KIND = (("kind", 3),)

#: Kind → fields with their widths in bits, from bit 0 up. Negative numbers are in two's complement.
FIELDS: dict[Kind, tuple[tuple[str, int], ...]] = {
    Kind.LOAD: (
        *_KIND,
        ("to", 3),
        ("address", 32),
        ("words", 24),
        ("base", 16),
        # Patches: `runs` runs of `run` bytes for each of `columns` · `rows` patches; steps are in bytes.
        ("run", 12),
        ("runs", 8),
        ("columns", 12),
        ("rows", 12),
        ("run_step", 24),
        ("column_step", 16),
        ("row_step", 24),
    ),
    Kind.ARRAY: (
        *_KIND,
        ("groups", 12),
        ("chunks", 12),
        ("tokens", 13),
        ("operand", 2),
        ("base", 16),
        ("stride", 16),
        ("wait_base", 24),
        ("wait_chunk", 16),
        ("wait_token", 2),
        ("signed_operand", 1),
        ("log2", 1),
        ("guard", 4),
        # Stationary operand.
        ("stored", 1),
        ("by_lane", 1),
        ("key_base", 16),
        ("key_group", 16),
        ("key_chunk", 16),
        ("key_tail", 8),
        ("tail_of_groups", 1),
        ("key_wait", 24),
        ("parameters", 1),
        ("table", 1),
        # Results.
        ("result", 2),
        ("narrow", 1),
        ("add", 1),
        ("narrow_sum", 1),
        ("dest", 3),
        ("dest_base", 32),
        ("dest_stride", 16),
        ("add_base", 16),
        ("slot", 1),
        # Two results per step: of two groups of channels, or of two tokens.
        ("pairs", 1),
        ("second_step", 16),
        ("second_short", 1),
        ("flush", 1),
    ),
    Kind.NORM: (
        *_KIND,
        ("rows", 13),
        ("words", 12),
        ("tail", 8),
        ("channels", 15),
        ("base", 16),
        ("stride", 16),
        ("dest_base", 16),
        ("dest_stride", 16),
        ("wait_base", 24),
        ("limit", 16),
        ("epsilon", EPSILON_BITS + 1),
        ("epsilon_shift", 6),
        ("squares_shift", 4),
        ("wide", 1),
        ("affine", 1),
    ),
    Kind.SOFTMAX: (
        *_KIND,
        ("rows", 13),
        ("words", 12),
        ("tail", 8),
        ("base", 16),
        ("stride", 16),
        ("dest_base", 16),
        ("dest_stride", 16),
        ("wait_base", 24),
        ("shift", 6),
        ("log2", 1),
        ("guard", 4),
        ("slot", 1),
    ),
    Kind.END: _KIND,
}


@dataclass(frozen=True)
class Descriptor(DescriptorWord):
    """One operation of a chunk, a 384-bit word."""

    fields_of = FIELDS
    size = DESCRIPTOR_BYTES

    kind: Kind
