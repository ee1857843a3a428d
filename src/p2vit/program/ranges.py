"""Proven ranges of every tensor and register of a program, from the actual weights and nothing measured."""

from dataclasses import dataclass, field

from p2vit.numerics import AttentionValues
from p2vit.numerics.operator import Bounds
from p2vit.numerics.rounding import INT32, Range, signed_bits
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec

#: What registers may have that are allowed more than 32 bits.
WIDE_BITS = 64


@dataclass(frozen=True)
class NodeRanges:
    """What one node can reach, whatever the photo.

    Attributes:
        output: Range of what it writes.
        registers: Name → range of everything wider: accumulators, sums, products, with their rounding halves.
        wide: The same for registers that may have more than 32 bits.
    """

    output: Range
    registers: dict[str, Range]
    wide: dict[str, Range] = field(default_factory=dict)

    @property
    def accumulator(self) -> Range:
        """Range of the accumulator; of the output where nothing is accumulated."""
        return self.registers.get("accumulator", self.output)

    @property
    def widest(self) -> tuple[str, int]:
        """Name and two's complement width of the widest 32-bit register, or of the output."""
        every = {**self.registers, "output": self.output}
        name = max(every, key=lambda key: signed_bits(*every[key]))
        return name, signed_bits(*every[name])

    @property
    def overflows(self) -> list[str]:
        """Names of the registers that int32 does not hold."""
        return [name for name, (low, high) in self.registers.items() if low < INT32[0] or high > INT32[1]]

    @property
    def wide_overflows(self) -> list[str]:
        """Names of the wide registers that 64 bits do not hold."""
        return [name for name, reach in self.wide.items() if signed_bits(*reach) > WIDE_BITS]


def node_bounds(node: Node, tensors: dict[str, TensorSpec], ranges: dict[str, Range]) -> Bounds:
    """Bounds of one node from the ranges of what it reads."""
    sources = [ranges[name] for name in node.inputs]
    if isinstance(node.operator, AttentionValues):
        return node.operator.bounds_for(tensors[node.inputs[0]].shape[-1], *sources)
    return node.operator.bounds(*sources)


def proven_ranges(program: IntegerProgram) -> dict[str, NodeRanges]:
    """Propagate ranges from the pixels, 0..255, to the output.

    Args:
        program: A whole program, its nodes in execution order.

    Returns:
        Node name → what it can reach. A range that leaves int32 is reported as it is and goes on as it is.
    """
    reached: dict[str, Range] = {PIXELS: program.pixels.limits}
    found: dict[str, NodeRanges] = {}
    for node in program.nodes:
        bounds = node_bounds(node, program.tensors, reached)
        reached[node.name] = bounds.output
        found[node.name] = NodeRanges(bounds.output, bounds.intermediates, bounds.wide)
    return found
