"""Prove the ranges of every tensor and register of a program from the actual weights, for all possible photos."""

from dataclasses import dataclass, field

from p2vit.numerics import AttentionValues
from p2vit.numerics.operator import Bounds
from p2vit.numerics.rounding import INT32, Range, signed_bits
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec

#: Allowed width of wide registers, bits.
WIDE_BITS = 64


@dataclass(frozen=True)
class NodeRanges:
    """The ranges of one node, for all possible photos.

    Attributes:
        output: Range of the output.
        registers: Name → range of each 32-bit register: accumulators, sums and products, including rounding halves.
        wide: Name → range of each register that may have up to 64 bits.
    """

    output: Range
    registers: dict[str, Range]
    wide: dict[str, Range] = field(default_factory=dict)

    @property
    def accumulator(self) -> Range:
        """Range of the accumulator, or of the output if the node has no accumulator."""
        return self.registers.get("accumulator", self.output)

    @property
    def widest(self) -> tuple[str, int]:
        """Name and two's complement width of the widest 32-bit register, or of the output."""
        every = {**self.registers, "output": self.output}
        name = max(every, key=lambda key: signed_bits(*every[key]))
        return name, signed_bits(*every[name])

    @property
    def overflows(self) -> list[str]:
        """Names of the registers whose range does not fit int32."""
        return [name for name, (low, high) in self.registers.items() if low < INT32[0] or high > INT32[1]]

    @property
    def wide_overflows(self) -> list[str]:
        """Names of the wide registers whose range does not fit 64 bits."""
        return [name for name, reach in self.wide.items() if signed_bits(*reach) > WIDE_BITS]


def node_bounds(node: Node, tensors: dict[str, TensorSpec], ranges: dict[str, Range]) -> Bounds:
    """Return the bounds of one node for the ranges of its inputs."""
    sources = [ranges[name] for name in node.inputs]
    if isinstance(node.operator, AttentionValues):
        return node.operator.bounds_for(tensors[node.inputs[0]].shape[-1], *sources)
    return node.operator.bounds(*sources)


def proven_ranges(program: IntegerProgram) -> dict[str, NodeRanges]:
    """Propagate ranges from the pixels, 0..255, to the output.

    Args:
        program: A program without structural problems.

    Returns:
        Node name → ranges. A range that does not fit int32 is kept, and later ranges are computed from it.
    """
    reached: dict[str, Range] = {PIXELS: program.pixels.limits}
    found: dict[str, NodeRanges] = {}
    for node in program.nodes:
        bounds = node_bounds(node, program.tensors, reached)
        reached[node.name] = bounds.output
        found[node.name] = NodeRanges(bounds.output, bounds.intermediates, bounds.wide)
    return found
