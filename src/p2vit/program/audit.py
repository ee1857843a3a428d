"""The audit: prove that a program has the claimed properties.

A program uses integers only: the audit runs one image and checks every number. All scales are powers of two, and all
shifts follow from them. All accumulators fit int32 for every possible photo.
"""

from collections import Counter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from p2vit.numerics import Linear
from p2vit.numerics.rounding import IntArray, signed_bits
from p2vit.program.check import structure_problems
from p2vit.program.exponents import fractional_exponents, scale_problems
from p2vit.program.format import program_sha256
from p2vit.program.graph import PIXELS, IntegerProgram, Node
from p2vit.program.masks import mask_problems
from p2vit.program.ranges import WIDE_BITS, NodeRanges, proven_ranges

#: Allowed width of a register, bits.
REGISTER_BITS = 32


class RegisterAudit(BaseModel):
    """The proven range of one register of a node."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the register; docs/reference/numerics.md says what each holds")
    low: int = Field(description="lowest value that any photo can reach")
    high: int = Field(description="highest, with the half that rounding adds")
    bits: int = Field(description="two's complement width of that range")
    limit: int = Field(description="bits that it may have: 32, or 64 for a reciprocal's numerator")


class LayerAudit(BaseModel):
    """The ranges of one node, proved from its weights and the ranges of its inputs."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the node")
    kind: str = Field(description="operator")
    weight_bits: int | None = Field(description="width of the weights; null where there are none")
    accumulator_low: int = Field(description="lowest accumulator that any photo can reach")
    accumulator_high: int = Field(description="highest, with the half that rounding adds")
    accumulator_bits: int = Field(description="two's complement width of that range")
    widest: str = Field(description="the widest register of the node")
    widest_bits: int = Field(description="its two's complement width")
    output_low: int = Field(description="lowest output that any photo can reach")
    output_high: int = Field(description="highest")
    registers: list[RegisterAudit] = Field(description="every register of the node")


class AuditReport(BaseModel):
    """Result of `audit`. The program passes if ``problems`` is empty."""

    model_config = ConfigDict(frozen=True)

    program_sha256: str = Field(description="hash of what was audited")
    ops: dict[str, int] = Field(description="operators in the program, per kind")
    float_ops: int = Field(
        description="operands, results and parameters that are not integers, over one image"
    )
    non_pot_scales: int = Field(
        description="exponents that are no integers + shifts that exponents do not imply"
    )
    max_accumulator_bits: int = Field(description="two's complement width of the widest accumulator")
    max_register_bits: int = Field(
        description="the same over every register of 32 bits: squares and products too"
    )
    max_wide_register_bits: int = Field(
        description="the same over registers that may have 64 bits: numerators of softmax reciprocals; 0 if none"
    )
    layers: list[LayerAudit] = Field(description="one row per node, in order")
    problems: list[str] = Field(description="everything that does not hold, in words")

    @property
    def passed(self) -> bool:
        """Whether the program has no problems."""
        return not self.problems


def audit(program: IntegerProgram, pixels: IntArray | None = None) -> AuditReport:
    """Prove the properties of a program, or list its problems.

    Args:
        program: Any program.
        pixels: Image that the audit runs, uint8 [1, H, W, 3]; by default `sample_pixels`. The proofs of ranges and
            scales do not depend on it.

    Returns:
        The report. A program with problems raises no error.
    """
    structure = structure_problems(program)
    if structure:
        # Nothing can be proved about a graph with structural problems.
        return AuditReport(
            program_sha256=program_sha256(program),
            ops=kinds(program),
            float_ops=sum(float_parameters(node) for node in program.nodes),
            non_pot_scales=sum(each.count for each in fractional_exponents(program)),
            max_accumulator_bits=0,
            max_register_bits=0,
            max_wide_register_bits=0,
            layers=[],
            problems=structure,
        )
    scales = scale_problems(program)
    ranges = proven_ranges(program)
    problems = [f"{each.node}: {each.message}" for each in scales]
    for name, reach in ranges.items():
        for register in reach.overflows:
            low, high = reach.registers[register]
            problems.append(
                f"{name}: its {register} can reach {low}..{high}, which {REGISTER_BITS} bits do not hold; "
                "use fewer weight bits, fewer inputs or a coarser exponent"
            )
        problems += [
            f"{name}: its {register} can reach {reach.wide[register][1]}, which {WIDE_BITS} bits do not hold"
            for register in reach.wide_overflows
        ]
    problems += mask_problems(program, ranges)
    float_ops = 0
    if not any(reach.overflows for reach in ranges.values()):
        # Do not run a program that overflows, because its results are meaningless.
        float_ops, seen = float_operations(
            program, sample_pixels(program) if pixels is None else pixels, ranges
        )
        problems += seen
    else:
        float_ops = sum(float_parameters(node) for node in program.nodes)
    layers = [layer_audit(node, ranges[node.name]) for node in program.nodes]
    return AuditReport(
        program_sha256=program_sha256(program),
        ops=kinds(program),
        float_ops=float_ops,
        non_pot_scales=sum(each.count for each in scales),
        max_accumulator_bits=max(layer.accumulator_bits for layer in layers),
        max_register_bits=max(layer.widest_bits for layer in layers),
        max_wide_register_bits=max(
            (
                register.bits
                for layer in layers
                for register in layer.registers
                if register.limit == WIDE_BITS
            ),
            default=0,
        ),
        layers=layers,
        problems=problems,
    )


def kinds(program: IntegerProgram) -> dict[str, int]:
    """Count the operators of each kind: name → number."""
    return dict(sorted(Counter(type(node.operator).__name__ for node in program.nodes).items()))


def layer_audit(node: Node, reach: NodeRanges) -> LayerAudit:
    """Make the row of one node."""
    name, bits = reach.widest
    return LayerAudit(
        name=node.name,
        kind=type(node.operator).__name__,
        weight_bits=node.operator.weight_bits if isinstance(node.operator, Linear) else None,
        accumulator_low=reach.accumulator[0],
        accumulator_high=reach.accumulator[1],
        accumulator_bits=signed_bits(*reach.accumulator),
        widest=name,
        widest_bits=bits,
        output_low=reach.output[0],
        output_high=reach.output[1],
        registers=[
            RegisterAudit(name=name, low=low, high=high, bits=signed_bits(low, high), limit=limit)
            for registers, limit in ((reach.registers, REGISTER_BITS), (reach.wide, WIDE_BITS))
            for name, (low, high) in registers.items()
        ],
    )


def sample_pixels(program: IntegerProgram) -> IntArray:
    """Make a fixed image of noise with a black and a white corner: uint8 [1, H, W, 3]."""
    height, width, channels = program.pixels.shape
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, channels), dtype=np.uint8)
    pixels[:, : height // 4, : width // 4] = 0
    pixels[:, -(height // 4) :, -(width // 4) :] = 255
    return pixels


def is_integer(value: object) -> bool:
    """Return whether a value is an integer array."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def float_parameters(node: Node) -> int:
    """Count the array parameters of a node that are not integers."""
    return sum(not is_integer(getattr(node.operator, name)) for name in node.operator.array_fields())


def float_operations(
    program: IntegerProgram, pixels: IntArray, ranges: dict[str, NodeRanges]
) -> tuple[int, list[str]]:
    """Run one image with the reference operators, and check every operand, parameter and result.

    Args:
        program: The program.
        pixels: uint8 [1, H, W, 3].
        ranges: Proven ranges, which all results must respect.

    Returns:
        (number of operands, parameters and results that are not integers, texts of all problems). Other problems are a
        dtype that differs from the recorded one, and a result outside its proven range.
    """
    count, problems = 0, []
    live: dict[str, IntArray] = {PIXELS: pixels}
    last_use = {source: position for position, node in enumerate(program.nodes) for source in node.inputs}
    for position, node in enumerate(program.nodes):
        operands = [live[name] for name in node.inputs]
        result = node.operator.compute(*operands)
        floats = sum(not is_integer(value) for value in (*operands, result)) + float_parameters(node)
        if floats:
            count += floats
            problems.append(f"{node.name}: {floats} of its operands, parameters and results are not integers")
        spec = program.tensors[node.name]
        if is_integer(result) and result.dtype != spec.dtype:
            problems.append(f"{node.name}: writes {result.dtype}; recorded is {spec.dtype}")
        low, high = ranges[node.name].output
        if result.size and not (low <= int(result.min()) and int(result.max()) <= high):
            problems.append(
                f"{node.name}: reached {result.min()}..{result.max()}, outside the proven {low}..{high}"
            )
        live[node.name] = result
        for name in {*node.inputs, node.name}:
            if last_use.get(name, -1) <= position:
                live.pop(name, None)
    return count, problems
