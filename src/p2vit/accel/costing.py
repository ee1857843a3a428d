"""What a layer costs at given bits: the interface that mixed-precision search calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from p2vit.accel.costs import cost_of
from p2vit.accel.energy import memory_rates, operation_energy
from p2vit.accel.machine import Machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.memory import plan_memory
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.simulate import run_energy
from p2vit.accel.technology import load_technology
from p2vit.accel.workload import Operation, Workload


@dataclass(frozen=True)
class LayerCost:
    """Modelled cost of one linear.

    Attributes:
        cycles: The longer of the array's and DRAM's time.
        latency_ms: The same in milliseconds.
        energy_mj: Without leakage.
    """

    cycles: float
    latency_ms: float
    energy_mj: float


@dataclass(frozen=True)
class CostModel:
    """Latency and energy of layers and of whole bit assignments, on one machine.

    Layer costs add up to within what overlaps; `total` is exact (the closed form of the whole model).

    Attributes:
        workload: The model; its own bits are the default of every layer.
        machine: The machine.
    """

    workload: Workload
    machine: Machine

    @cached_property
    def linears(self) -> dict[str, Operation]:
        """Operations whose weights have bits, by name."""
        return {op.name: op for op in self.workload.operations if op.kind == "linear"}

    def layer(self, name: str, weight_bits: int) -> LayerCost:
        """Cost of one linear by itself.

        Args:
            name: Operation name, e.g. ``blocks.0.mlp.fc1``.
            weight_bits: 4 or 8.

        Returns:
            Its cost.

        Raises:
            AccelError: if there is no such linear or no such width.
        """
        self._check({name: weight_bits})
        op = replace(self.linears[name], weight_bits=weight_bits)
        memory = plan_memory(self.machine, [op])
        cost = cost_of(self.machine, op, memory.passes[0])
        dram = memory.fetched_bytes[0] + memory.spilled_bytes[0]
        cycles = max(cost.occupied_cycles, cost.requant_cycles, dram / self.machine.dram_bytes_per_cycle)
        technology = load_technology(self.machine.technology)
        rates = memory_rates(self.machine, technology)
        energy = operation_energy(self.machine, technology, rates, op, cost, dram)
        return LayerCost(cycles, cycles / (self.machine.clock_mhz * 1e3), energy.total / 1e9)

    def total(self, weight_bits: Mapping[str, int]) -> LayerCost:
        """Cost of the whole model at an assignment of bits.

        Args:
            weight_bits: Bits by operation name; layers not named keep the workload's.

        Returns:
            Its cost, everything overlapping as the dataflow has it.

        Raises:
            AccelError: if a name or a width does not exist, or if the model does not fit the machine.
        """
        self._check(weight_bits)
        operations = tuple(
            replace(op, weight_bits=weight_bits[op.name]) if op.name in weight_bits else op
            for op in self.workload.operations
        )
        mapping = map_workload(self.machine, replace(self.workload, operations=operations))
        if mapping.timing is None:
            where = f"{self.workload.name} on {self.machine.name}"
            raise AccelError(where, [misfit.statement for misfit in mapping.misfits])
        cycles = mapping.timing.cycles
        energy = run_energy(self.machine, load_technology(self.machine.technology), mapping.plan, cycles)
        return LayerCost(cycles, cycles / (self.machine.clock_mhz * 1e3), energy.total / 1e9)

    def _check(self, weight_bits: Mapping[str, int]) -> None:
        problems = [
            f"no linear is called {name!r}; {suggestion(name, self.linears)}"
            for name in weight_bits
            if name not in self.linears
        ]
        problems += [
            f"{name}: weight_bits {bits}; allowed: 4, 8"
            for name, bits in weight_bits.items()
            if bits not in (4, 8)
        ]
        if problems:
            raise AccelError(f"bits for {self.workload.name}", problems)
