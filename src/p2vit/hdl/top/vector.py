"""Vector engine: LayerNorm, softmax, table, add, affine, sums and moves, one column of all lines per cycle."""

from typing import ClassVar

from amaranth.hdl import Array, Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from p2vit.hdl.arithmetic import add_tree
from p2vit.hdl.datapath.layernorm import INDEX_BITS
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.top.buffers import column_parameters, engine_ports, output_connections
from p2vit.hdl.top.component import MachineComponent, delay_line, delayed
from p2vit.hdl.top.decode import decoder
from p2vit.hdl.top.descriptor import Dest, Kind, VectorOp
from p2vit.hdl.top.machine import (
    LANE_LATENCY,
    MAX_LEFT_SHIFT,
    MAX_RIGHT_SHIFT,
    NORM_TABLE_ENTRIES,
    RtlMachine,
)
from p2vit.hdl.top.primitives import RamPorts, ram
from p2vit.hdl.top.slots import SlotReader, SlotWriter
from p2vit.hdl.top.vector_control import VectorControl
from p2vit.hdl.top.vector_lane import VectorLane
from p2vit.numerics.layernorm import ENTRY_BITS, TABLE_FIRST

#: Fields of a run that are connected to every lane.
LANE_FIELDS = (
    *("op", "planes", "limit", "epsilon", "epsilon_shift", "squares_shift", "softmax_shift"),
    *("log2", "guard", "flip", "narrow_a", "narrow_b"),
)


class VectorEngine(MachineComponent):
    """Lanes for one group of tokens, and the logic that they share.

    :class:`VectorControl` sequences the passes over the columns. Latency: 1 + ``LANE_LATENCY`` cycles from the issue
    of a column to its result. Throughput: one column of ``lines`` numbers per cycle and pass. Handshake: a run waits
    until its buffers are full and an output buffer is free.
    """

    verilog_name: ClassVar[str] = "p2vit_vector_engine"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, loaded words, output buffer, and handshakes of the buffer slots."""
        return engine_ports(machine, ("numbers", "parameters"), release_table=Out(1))

    def elaborate(self, platform: object) -> Module:
        """Build control, buffers, lanes and output buffer."""
        m = Module()
        machine = self.machine
        lines, loaded = machine.lines, self.loaded
        take = decoder(self.queue.word, Kind.VECTOR)
        control = VectorControl(m, self.queue, machine)
        run, start, final, issue = control.run, control.start, control.final, control.issue
        done = Signal()
        written = done | control.sum_valid
        numbers = SlotReader(
            m, self.numbers, "vector", start=start, final=final, take=take("take"), release=take("release")
        )
        parameters = SlotReader(
            m, self.parameters, "parameters",
            start=start, final=final, take=take("take_parameters"), release=take("release_parameters"),
        )  # fmt: skip
        writer = SlotWriter(m, self.results, start=start, final=final, emit=take("emit"), written=written)
        control.states(m, self.queue.valid & numbers.ready & parameters.ready & writer.ready)
        # A table has one slot. The order of the load queue ensures that it is loaded, so it is only released.
        releases_table = Signal()
        with m.If(start):
            m.d.sync += releases_table.eq(take("release_table"))
        m.d.comb += [
            self.release_table.eq(final & releases_table),
            self.busy.eq(~control.idle),
        ]

        issued = delay_line(m, issue, 1 + LANE_LATENCY, "issued")
        m.d.comb += done.eq(issued[-1] & control.last_phase & writer.emits)
        parameter = column_parameters(
            m, machine, loaded, Dest.VECTOR_PARAMETERS, machine.vector_columns,
            slot=parameters.slot, column=control.at, enable=issue,
        )  # fmt: skip
        indices = [Signal(INDEX_BITS, name=f"index_{line}") for line in range(lines)]
        root = self.root(m, control, indices)
        factor_line = delayed(m, control.factor_at, 1, "factor_line")
        factor_valid = delayed(m, control.reading_factors, 1, "factor_valid")
        aligned = [Signal(signed(17), name=f"aligned_{line}") for line in range(lines)]
        column_sum = self.sum_over_tokens(m, control, aligned, parameter, issued[3])

        # --- lanes
        arrives = loaded.valid & (loaded.dest == Dest.VECTOR)
        table_arrives = loaded.valid & (loaded.dest == Dest.TABLE)
        load_enable = Cat(arrives & (loaded.part == plane) for plane in range(4))
        # The clock of the lanes is gated while nothing is loaded, computed or read.
        gated = Signal()
        m.submodules.clock_gate = Instance(
            "p2vit_clock_gate",
            i_clk=ClockSignal(),
            i_enable=~control.idle | start | ResetSignal() | self.output.enable | arrives | table_arrives,
            o_gated=gated,
        )
        for line in range(lines):
            inside = Signal(name=f"inside_{line}")
            m.d.comb += inside.eq((run["line_first"] <= line) & (line < run["line_end"]))
            m.submodules[f"lane_{line}"] = VectorLane.instance(
                machine,
                clock=gated,
                load_enable=load_enable,
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_byte=loaded.data.word_select(line, 8),
                table_enable=table_arrives,
                table_byte=loaded.data[:8],
                read=issue,
                slot=numbers.slot,
                column=control.at,
                parameters=parameter,
                valid=issued[1],
                in_range=inside,
                group=control.group,
                clear=start,
                phase=control.phase,
                channels=run["count"],
                factor_write=factor_valid & (factor_line == line),
                factor=root,
                aligned=aligned[line],
                index=indices[line],
                column_sum=column_sum,
                sum_byte=control.sum_byte,
                sum_valid=control.sum_valid,
                **{name: run[name] for name in LANE_FIELDS},
                **control.strobes,
                **output_connections(m, self.output, writer, written, line),
            )
        return m

    def root(self, m: Module, control: VectorControl, indices: list[Signal]) -> Signal:
        """Add the table of reciprocal square roots. It is read for one line per cycle, so one port is enough."""
        loaded = self.loaded
        return ram(
            m,
            "roots",
            ENTRY_BITS,
            NORM_TABLE_ENTRIES,
            RamPorts(
                write_enable=loaded.valid & (loaded.dest == Dest.NORM_TABLE),
                write_address=loaded.row,
                write_data=loaded.data[:ENTRY_BITS],
                read_enable=control.reading_factors,
                read_address=Array(indices)[control.factor_at] - TABLE_FIRST,
            ),
        )

    def sum_over_tokens(
        self, m: Module, control: VectorControl, aligned: list[Signal], parameter: Signal, valid: Value
    ) -> Signal:
        """Add the sum over tokens: an adder tree over the lines, and an accumulator per column.

        Args:
            m: Module of the engine.
            control: Control, which gives the column and whether its sum begins.
            aligned: Numbers of the lanes, two cycles after the issue of the column.
            parameter: Parameters of the column, one cycle after its issue.
            valid: High if a column was issued three cycles ago.

        Returns:
            Rounded sum, in the cycle of the lanes' results.
        """
        run = control.run
        columns = delay_line(m, control.at, 3, "column")
        over_lines, column_total, kept = Signal(32), Signal(32), Signal(signed(32))
        before = ram(
            m,
            "column_sums",
            32,
            self.machine.vector_columns,
            RamPorts(
                write_enable=valid & (run["op"] == VectorOp.SUM),
                write_address=columns[3],
                write_data=column_total,
                read_enable=1,
                read_address=columns[2],
            ),
        )
        m.d.comb += column_total.eq(over_lines + Mux(run["first"], 0, before))
        shift = delayed(m, parameter, 3, "sum_parameter")[48:54].as_signed()
        step = ShiftStage(16, -MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT)
        rounded, late = Signal(16), Signal(16)
        m.d.sync += [
            over_lines.eq(add_tree(aligned)),
            kept.eq(column_total),
            rounded.eq(step.both(m, kept, shift, narrow=run["planes"][0])),
            late.eq(rounded),
        ]
        return late
