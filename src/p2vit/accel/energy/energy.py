"""Modelled energy per image and operation, from a technology table. Nothing is measured.

Counted: arithmetic, operand and accumulator registers of the arrays, every byte through every buffer, DRAM, SRAM
leakage, and the clock of waiting chunks (`clock`). Not counted: clock tree, controller, wires between chunks, and
leakage of logic.
"""

from dataclasses import dataclass, fields

from p2vit.accel.chunks.costs import SHIFTER, Cost, array_of
from p2vit.accel.machine.description import Buffer, Machine, RequantMethod, RowBuffer
from p2vit.accel.machine.technology import Energies, Technology
from p2vit.accel.workload.operations import Operation

# Shifting an 8-bit value by 0 to 15 bits takes 9 + 11 + 15 + 23 = 58 two-way multiplexers. A 32-bit barrel shifter
# takes 5 × 32.
CODE_SHIFT_SHARE = 58 / 160


@dataclass(frozen=True)
class EnergyBreakdown:
    """Energy in picojoules by where it is spent.

    Attributes:
        arithmetic: Multipliers, adders, shifters, comparators and tables of every chunk except re-quantization.
        requantization: Re-quantization of int32 accumulators.
        registers: Registers of stationary operands and accumulators in the arrays.
        activation_buffer: Reads and writes of the activation buffer.
        weight_buffer: Fills and reads of the weight buffer.
        accumulator_buffer: Reads and writes of scores.
        row_buffer: Reads and writes of stationary rows.
        dram: DRAM traffic.
        leakage: SRAM leakage over the run.
        idle_clock: Clock of chunks that wait.
    """

    arithmetic: float = 0.0
    requantization: float = 0.0
    registers: float = 0.0
    activation_buffer: float = 0.0
    weight_buffer: float = 0.0
    accumulator_buffer: float = 0.0
    row_buffer: float = 0.0
    dram: float = 0.0
    leakage: float = 0.0
    idle_clock: float = 0.0

    def __add__(self, other: "EnergyBreakdown") -> "EnergyBreakdown":
        return EnergyBreakdown(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(EnergyBreakdown))
        )

    @property
    def total(self) -> float:
        """Sum of all parts, in pJ."""
        return sum(getattr(self, field.name) for field in fields(self))


def requant_pj(table: Energies, method: RequantMethod) -> float:
    """Return the energy in pJ of re-quantizing one accumulator: scale it, round it and saturate it."""
    shift = table.shift32_pj + table.add32_pj + 2 * table.compare32_pj
    if method == "shift":
        return shift
    if method == "float32":  # int32 → float32 and back cost as much as adds
        return table.float32_multiply_pj + 2 * table.float32_add_pj + 2 * table.compare32_pj
    multiply = {
        "multiplier8": 4 * table.multiply8_pj,
        "multiplier16": 2 * table.multiply16_pj,
        "multiplier32": table.multiply32_pj,
    }
    return multiply[method] + shift


def element_pj(table: Energies, kind: str) -> float:
    """Return the energy in pJ per element of an operation that is not a matrix product, over all its passes."""
    recipes = {
        # Sum and sum of squares; then subtract the mean, multiply by the inverse root, shift.
        "layernorm": 3 * table.add32_pj + 2 * table.multiply16_pj + table.shift32_pj,
        # Maximum; then difference, 32 × 16-bit constant multiply, table, shift, running sum.
        "softmax": table.compare32_pj
        + 2 * table.add32_pj
        + 2 * table.multiply16_pj
        + table.table_read_pj
        + table.shift32_pj,
        "lookup": table.table_read_pj,
        "add": table.add32_pj + table.shift32_pj + 2 * table.compare32_pj,
        "score_bias": table.add32_pj,
        "tokens": table.add32_pj + 2 * table.compare32_pj,
        "move": 0.0,
        "pool": table.add32_pj,
        "rotary": 2 * table.multiply16_pj + table.add32_pj + table.shift32_pj,
        "multiply": table.multiply16_pj + table.add32_pj + table.shift32_pj,
        "affine": table.multiply16_pj + table.add32_pj + table.shift32_pj,
    }
    return recipes[kind]


def row_pj(table: Energies, kind: str) -> float:
    """Return the energy in pJ per row: inverse square root or reciprocal, by a table and one refinement step."""
    return table.table_read_pj + 2 * table.multiply32_pj if kind in ("layernorm", "softmax") else 0.0


def mac_pj(table: Energies, chunk: str, weight_bits: int) -> float:
    """Return the energy in pJ of one multiply-accumulate, or of one shift-accumulate on the shifter array."""
    if chunk == SHIFTER:
        return CODE_SHIFT_SHARE * table.shift32_pj + table.add32_pj
    return table.multiply8_pj * (0.5 if 0 < weight_bits <= 4 else 1.0) + table.add32_pj


def buffer_pj(technology: Technology, buffer: Buffer | RowBuffer) -> tuple[float, float, float]:
    """Return pJ per byte read, pJ per byte written, and mm², of a whole buffer."""
    read, write, area = technology.sram_point(buffer.size_bytes / buffer.banks)
    return read, write, area * buffer.banks


@dataclass(frozen=True)
class MemoryRates:
    """Picojoules per byte of each memory: (read, write) for a buffer, one figure for DRAM."""

    activation: tuple[float, float]
    weight: tuple[float, float]
    accumulator: tuple[float, float]
    row: tuple[float, float]
    dram: float


def memory_rates(machine: Machine, technology: Technology) -> MemoryRates:
    """Return the energy per byte of every memory of the machine."""
    rates = {name: buffer_pj(technology, buffer)[:2] for name, buffer in machine.buffers.all.items()}
    return MemoryRates(
        activation=rates["activation"],
        weight=rates["weight"],
        accumulator=rates["accumulator"],
        row=rates.get("row", (0.0, 0.0)),
        dram=8 * technology.dram_energy(machine.dram.kind),
    )


def operation_energy(
    machine: Machine,
    technology: Technology,
    rates: MemoryRates,
    operation: Operation,
    cost: Cost,
    dram_bytes: float,
) -> EnergyBreakdown:
    """Compute the energy of one operation, without leakage.

    Args:
        machine: Machine that runs the operation.
        technology: Energy and area table.
        rates: Energy per byte of each memory.
        operation: Operation.
        cost: Demands of the operation on the machine.
        dram_bytes: DRAM traffic of the operation in bytes.

    Returns:
        Energy in pJ. If reads and writes of a buffer are not known separately, each counts as half of the traffic.
    """
    table = technology.energy
    requantized = operation.elements if operation.requantized else 0
    requant = requantized * requant_pj(table, machine.chunks.requantization.method)
    if operation.inner:
        lanes = array_of(machine, cost.chunk).lanes_per_line
        arithmetic = operation.macs * mac_pj(table, cost.chunk, operation.weight_bits)
        registers = operation.macs * table.register_bit_pj * (8 + 32 / lanes)
        if operation.kind == "attention_values":
            requant += requantized * 2 * table.multiply16_pj  # times the reciprocal of the row sum
    else:
        rows = operation.instances * operation.rows
        per_element, per_row = element_pj(table, operation.kind), row_pj(table, operation.kind)
        arithmetic, registers = operation.elements * per_element + rows * per_row, 0.0
    return EnergyBreakdown(
        arithmetic=arithmetic,
        requantization=requant,
        registers=registers,
        activation_buffer=cost.activation_bytes * sum(rates.activation) / 2,
        weight_buffer=cost.weight_read_bytes * rates.weight[0]
        + (operation.weight_bytes * rates.weight[1] if operation.weight_bits else 0.0),
        accumulator_buffer=cost.accumulator_bytes * sum(rates.accumulator) / 2,
        row_buffer=cost.row_read_bytes * rates.row[0] + cost.row_written_bytes * rates.row[1],
        dram=dram_bytes * rates.dram,
    )


def leakage_pj(machine: Machine, technology: Technology, cycles: int) -> float:
    """Return the SRAM leakage in pJ over a run of ``cycles`` cycles."""
    mebibytes = sum(buffer.size_bytes for buffer in machine.buffers.all.values()) / 2**20
    microseconds = cycles / machine.clock_mhz
    return technology.sram_leakage_mw_per_mib * mebibytes * microseconds * 1e3
