"""Cost of a layer at a given weight width: the interface that the mixed-precision search calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from p2vit.accel.chunks.costs import cost_of
from p2vit.accel.chunks.memory import plan_memory
from p2vit.accel.energy.energy import memory_rates, operation_energy
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.technology import load_technology
from p2vit.accel.mapping import map_workload
from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.simulate import run_energy
from p2vit.accel.workload.operations import Operation, Workload


@dataclass(frozen=True)
class LayerCost:
    """Modelled cost of one linear layer or of a whole model.

    Attributes:
        cycles: For a layer, the larger of the MAC array's, the re-quantization's and DRAM's cycles; for a model, all
            cycles.
        latency_ms: ``cycles`` in milliseconds.
        energy_mj: Energy per image; leakage and the idle clock count for a whole model only.
    """

    cycles: float
    latency_ms: float
    energy_mj: float


@dataclass(frozen=True)
class CostModel:
    """Latency and energy of layers and of whole bit assignments, on one machine.

    The sum of the layers' costs ignores overlap between layers. `total` includes it: it is the closed form of the
    model.

    Attributes:
        workload: Model; its own weight width is the default of every layer.
        machine: Machine that the model runs on.
    """

    workload: Workload
    machine: Machine

    @cached_property
    def linears(self) -> dict[str, Operation]:
        """Linear layers by name."""
        return {op.name: op for op in self.workload.operations if op.kind == "linear"}

    def layer(self, name: str, weight_bits: int) -> LayerCost:
        """Compute the cost of one linear layer by itself.

        Args:
            name: Operation name, e.g. ``blocks.0.mlp.fc1``.
            weight_bits: 4 or 8.

        Returns:
            Cost of the layer, without leakage.

        Raises:
            AccelError: There is no linear layer of that name, or the width is not supported.
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
        """Compute the cost of the whole model at an assignment of weight widths.

        Args:
            weight_bits: Width by operation name; layers that are not named keep the workload's.

        Returns:
            Cost of the model, with operations overlapping as the dataflow allows.

        Raises:
            AccelError: A name or a width does not exist, or the model does not fit the machine.
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
        technology = load_technology(self.machine.technology)
        energy = run_energy(self.machine, technology, mapping.plan, mapping.timing)
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
