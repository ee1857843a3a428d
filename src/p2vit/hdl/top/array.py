"""Array engine: row and weight buffers, lines, re-quantizers and output buffer."""

from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from p2vit.hdl.top.buffers import column_parameters, engine_ports, output_connections, pair_parameters
from p2vit.hdl.top.component import MachineComponent, delay_line
from p2vit.hdl.top.decode import decoder
from p2vit.hdl.top.descriptor import Dest, Kind, Mode
from p2vit.hdl.top.line import Line
from p2vit.hdl.top.machine import ARRAY_DRAIN, DIVIDE_CYCLES, LINE_LATENCY, OPERAND_LATENCY, RtlMachine
from p2vit.hdl.top.slots import SlotReader, SlotWriter
from p2vit.hdl.top.weight_bank import WeightBank

#: Fields of the descriptor that are registered for the duration of a run.
RUN_FIELDS = ("columns", "chunks", "tail", "signed_rows", "mode", "planes", "log2", "guard")


class ArrayEngine(MachineComponent):
    """Matrix products: linear layers, scores, and attention × V.

    Both operands have the same form: one word per term, with the bytes of ``lines`` rows (or columns). A chunk of
        ``lanes`` terms of all lines and of one column group is stationary while the columns of the group are
        broadcast, one per cycle. Then the next chunk follows. Throughput: ``lines`` · ``lanes`` products per cycle.
        Latency of a descriptor: one cycle to start, ``columns · chunks`` cycles of work and ``ARRAY_DRAIN`` cycles of
        drain; ``QUOTIENT`` adds ``DIVIDE_CYCLES`` + 1 cycles before the work. Handshake: a run waits until its buffers
        are full and an output buffer is free.
    """

    verilog_name: ClassVar[str] = "p2vit_array_engine"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, loaded words, output buffer, and handshakes of the buffer slots."""
        return engine_ports(machine, ("rows", "weights", "parameters"))

    def elaborate(self, platform: object) -> Module:
        """Build control, operand fetch, lines and output buffer."""
        m = Module()
        machine = self.machine
        lines, lanes = machine.lines, machine.lanes
        take = decoder(self.queue.word, Kind.ARRAY)
        start, final, done = Signal(), Signal(), Signal()
        rows, weights, parameters = (
            SlotReader(
                m, getattr(self, name), name,
                start=start, final=final, take=take(f"take_{name}"), release=take(f"release_{name}"),
            )
            for name in ("rows", "weights", "parameters")
        )  # fmt: skip
        writer = SlotWriter(m, self.results, start=start, final=final, emit=Const(1), written=done)

        # --- the run
        fields = (*RUN_FIELDS, "pairs") if machine.split else RUN_FIELDS
        run = {name: Signal(len(take(name)), name=f"run_{name}") for name in fields}
        left, chunk, column = Signal(16), Signal(16), Signal(range(lines))
        weight_row, parameter = Signal(16), Signal(16)
        wait = Signal(range(max(DIVIDE_CYCLES, ARRAY_DRAIN) + 1))
        issue, divide = Signal(), Signal()
        in_group = Signal(range(lines + 1))
        m.d.comb += [
            self.queue.ready.eq(start),
            self.busy.eq(issue),
            in_group.eq(Mux(left > lines, lines, left)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                ready = rows.ready & weights.ready & parameters.ready & writer.ready
                m.d.comb += start.eq(self.queue.valid & ready)
                with m.If(start):
                    m.d.sync += [signal.eq(take(name)) for name, signal in run.items()]
                    m.d.sync += [
                        left.eq(take("columns")),
                        weight_row.eq(take("weight_row")),
                        parameter.eq(take("first_parameter")),
                        chunk.eq(0),
                        column.eq(0),
                        wait.eq(DIVIDE_CYCLES),
                    ]
                    with m.If(take("mode") == Mode.QUOTIENT):
                        m.next = "DIVIDE"
                    with m.Else():
                        m.next = "RUN"
            with m.State("DIVIDE"):
                m.d.comb += divide.eq(wait == DIVIDE_CYCLES)
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += issue.eq(1)
                m.d.sync += [column.eq(column + 1), wait.eq(ARRAY_DRAIN - 1)]
                with m.If(column == in_group - 1):
                    m.d.sync += [column.eq(0), chunk.eq(chunk + 1), weight_row.eq(weight_row + 1)]
                    with m.If(chunk == run["chunks"] - 1):
                        m.d.sync += [chunk.eq(0), left.eq(left - in_group)]
                        with m.If(left == in_group):
                            m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.comb += final.eq(1)
                    m.next = "IDLE"

        # --- fetch of one chunk of every line's row and of every column of the group, and the delays of its control
        # signals
        fetch = issue & (column == 0)
        last = chunk == run["chunks"] - 1
        columns, firsts = delay_line(m, column, 2, "column"), delay_line(m, chunk == 0, 2, "first")
        lasts, valids = delay_line(m, last, 1, "last"), delay_line(m, issue, 2, "valid")
        fetches, chunks = delay_line(m, fetch, 1, "fetch"), delay_line(m, chunk, 1, "chunk")
        ends = delay_line(m, last & issue, OPERAND_LATENCY + LINE_LATENCY, "end")
        # The read of column parameters is timed so that they arrive together with the accumulator's result.
        summed = ends[OPERAND_LATENCY + 2]
        m.d.comb += done.eq(ends[-1])
        with m.If(summed):
            m.d.sync += parameter.eq(parameter + 1)
        pair_ports: dict[str, Value] = {}
        if machine.split:
            bias_shift, second = pair_parameters(
                m,
                machine,
                self.loaded,
                slot=parameters.slot,
                index=parameter,
                pairs=run["pairs"],
                enable=summed,
            )
            pair_ports = {
                "pairs": run["pairs"],
                "second_bias": second[:32],
                "second_shift": second[48:54],
            }
        else:
            bias_shift = column_parameters(
                m, machine, self.loaded, Dest.COLUMN_PARAMETERS, machine.columns,
                slot=parameters.slot, column=parameter, enable=summed,
            )  # fmt: skip

        # --- operands
        loaded = self.loaded
        low, high = Signal(8 * lines), Signal(8 * lines)
        m.d.comb += [
            low.eq(Mux(loaded.nibbles, nibbles(loaded.data, 0), loaded.data)),
            high.eq(Mux(loaded.nibbles, nibbles(loaded.data, 4), loaded.data)),
        ]
        operand = Signal(8 * lanes)
        for lane in range(lanes):
            byte = Signal(8, name=f"weight_{lane}")
            m.submodules[f"weights_{lane}"] = WeightBank.instance(
                machine,
                load=self.loads(Dest.WEIGHTS, lane),
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_word=high if lane % 2 else low,
                fetch=fetch,
                slot=weights.slot,
                row=weight_row,
                column=columns[1],
                enabled=~lasts[1] | (lane < run["tail"]),
                weight=byte,
            )
            m.d.comb += operand.word_select(lane, 8).eq(byte)
        # The first term of a chunk goes to all lanes, so no lane keeps what it had at power-on. The tail has weight 0.
        first_part = loaded.part == 0
        load_enable = Cat(self.loads(Dest.ROWS, lane, first_part) for lane in range(lanes))
        parameter_write = loaded.valid & (loaded.dest == Dest.LINE_PARAMETERS)
        for line in range(lines):
            m.submodules[f"line_{line}"] = Line.instance(
                machine,
                load_enable=load_enable,
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_low=low.word_select(line, 8),
                load_high=high.word_select(line, 8),
                parameter_write=parameter_write,
                parameter_index=loaded.row[:3],
                slot=rows.slot,
                fetch=fetches[1],
                chunk=chunks[1],
                weights=operand,
                first=firsts[2],
                valid=valids[2],
                column=columns[2],
                column_bias=bias_shift[:32],
                column_shift=bias_shift[48:54],
                divide=divide,
                **{name: run[name] for name in ("signed_rows", "log2", "guard", "mode", "planes")},
                **pair_ports,
                **output_connections(m, self.output, writer, done, line),
            )
        return m

    def loads(self, dest: Dest, lane: int, every: Value | int = 0) -> Value:
        """Return whether the loaded word goes to the bank of a lane; ``every``: it goes to the banks of all lanes."""
        loaded = self.loaded
        here = (loaded.part == lane) | every
        if lane % 2:
            here |= loaded.nibbles & (loaded.part == lane - 1)
        return loaded.valid & (loaded.dest == dest) & here


def nibbles(word: Value, first: int) -> Value:
    """Return one nibble of every byte, sign-extended to eight bits."""
    return Cat(
        Cat(word[at + first : at + first + 4], word[at + first + 3].replicate(4))
        for at in range(0, len(word), 8)
    )
