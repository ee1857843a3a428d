"""Sections of a model: the parts that are scheduled as a whole, whatever the organisation of the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from p2vit.accel.chunks.costs import Cost
from p2vit.accel.chunks.memory import MemoryPlan
from p2vit.accel.workload.operations import Operation


@dataclass(frozen=True)
class Section:
    """Schedule of a block, of the embedding or of the head.

    Attributes:
        operations: Operations in program order.
        costs: Demands of each operation.
        memory: Use of the buffers and of DRAM.
    """

    operations: tuple[Operation, ...]
    costs: tuple[Cost, ...]
    memory: MemoryPlan


#: Kind of section, which the organisation of the machine determines.
Kind = TypeVar("Kind", bound=Section, covariant=True)


@dataclass(frozen=True)
class Schedule(Generic[Kind]):
    """Sections in program order; equal blocks share one section object.

    Attributes:
        sections: Section of every block, one entry per occurrence.
        operations: Operations of the workload for each entry; a shared section holds those of its first block only.
    """

    sections: tuple[Kind, ...]
    operations: tuple[tuple[Operation, ...], ...]


def split_sections(operations: Sequence[Operation]) -> list[tuple[Operation, ...]]:
    """Group consecutive operations of one block, or of one part of the network outside the blocks."""
    sections: list[list[Operation]] = []
    last: object = None
    for op in operations:
        key = op.block if op.block >= 0 else op.part
        if key != last:
            sections.append([])
        sections[-1].append(op)
        last = key
    return [tuple(section) for section in sections]


def shape_of(op: Operation) -> tuple[object, ...]:
    """Return all fields that the cost depends on: everything except the name and the block."""
    return (
        op.kind, op.part, op.rows, op.cols, op.inner, op.instances, op.heads,
        op.input_bits, op.weight_bits, op.output_bits, op.log2_codes, op.tables,
    )  # fmt: skip
