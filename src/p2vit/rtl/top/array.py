"""The array engine: row and weight buffers, the lines, and the output buffer behind their re-quantizers."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.bits import field
from p2vit.rtl.top.bus import delayed, instance, loaded_signature, output_signature, place, queue_signature
from p2vit.rtl.top.descriptor import Dest, Kind, Mode
from p2vit.rtl.top.line import Line
from p2vit.rtl.top.machine import ARRAY_DRAIN, COLUMN_PARAMETER_BYTES, DIVIDE_CYCLES, LINE_LATENCY, RtlMachine
from p2vit.rtl.top.primitives import ram
from p2vit.rtl.top.weight_bank import WeightBank


class ArrayEngine(wiring.Component):
    """Rows × columns: linear layers, scores, and codes × values.

    Both operands come in the same form, a word per term with the bytes of ``lines`` rows (or columns). A chunk of
    ``lanes`` terms of all lines and of one group of columns is held while the group's columns are broadcast one per
    cycle; then the next chunk follows. One descriptor takes
    ``columns · chunks`` cycles, and ``ARRAY_START`` + ``ARRAY_DRAIN`` around them (``QUOTIENT``: the division before).

    Args:
        machine: Sizes.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(
            {
                "queue": In(queue_signature()),
                "loaded": In(loaded_signature(machine)),
                "output": In(output_signature(machine)),
                "rows_full": In(1),
                "weights_full": In(1),
                "parameters_full": In(1),
                "output_free": In(1),
                "take_rows": Out(1),
                "take_weights": Out(1),
                "take_parameters": Out(1),
                "take_output": Out(1),
                "release_rows": Out(1),
                "release_weights": Out(1),
                "release_parameters": Out(1),
                "finish": Out(1),
                "idle": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Control, operand fetch, lines, output buffer."""
        m = Module()
        machine = self.machine
        lines, lanes = machine.lines, machine.lanes

        def take(name: str, is_signed: bool = False) -> Signal:
            return field(self.queue.word, Kind.ARRAY, name, is_signed=is_signed)

        # --- descriptor of the run
        names = ("columns", "chunks", "tail", "signed_rows", "mode", "planes", "log2", "guard")
        run = {name: Signal(len(take(name)), name=f"run_{name}") for name in names}
        release = {name: Signal(name=f"run_{name}") for name in ("rows", "weights", "parameters")}
        slots = {name: Signal(name=f"{name}_slot") for name in ("rows", "weights", "parameters", "output")}
        left, chunk, column = Signal(16), Signal(16), Signal(range(lines))
        weight_row, parameter = Signal(16), Signal(16)
        wait = Signal(range(max(DIVIDE_CYCLES, ARRAY_DRAIN) + 1))
        issue, divide = Signal(), Signal()

        start = Signal()
        ready = Signal()
        m.d.comb += [
            ready.eq(
                (~take("take_rows") | self.rows_full)
                & (~take("take_weights") | self.weights_full)
                & (~take("take_parameters") | self.parameters_full)
                & self.output_free
            ),
            self.queue.ready.eq(start),
            self.take_rows.eq(start & take("take_rows")),
            self.take_weights.eq(start & take("take_weights")),
            self.take_parameters.eq(start & take("take_parameters")),
            self.take_output.eq(start),
        ]
        final = Signal()
        in_group = Signal(range(lines + 1))
        m.d.comb += in_group.eq(Mux(left > lines, lines, left))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [start.eq(self.queue.valid & ready), self.idle.eq(1)]
                with m.If(start):
                    m.d.sync += [run[name].eq(take(name)) for name in names]
                    m.d.sync += [release[name].eq(take(f"release_{name}")) for name in release]
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
        m.d.comb += [
            self.finish.eq(final),
            self.release_rows.eq(final & release["rows"]),
            self.release_weights.eq(final & release["weights"]),
            self.release_parameters.eq(final & release["parameters"]),
            self.busy.eq(issue),
        ]
        with m.If(final):
            m.d.sync += slots["output"].eq(~slots["output"])
            for name in release:
                with m.If(release[name]):
                    m.d.sync += slots[name].eq(~slots[name])

        # --- what is fetched: the chunk of every line's row and of every column of the group
        fetch, first, last = Signal(), Signal(), Signal()
        m.d.comb += [
            fetch.eq(issue & (column == 0)),
            first.eq(chunk == 0),
            last.eq(chunk == run["chunks"] - 1),
        ]
        column_1, first_1 = delayed(m, column, 1, "column_a"), delayed(m, first, 1, "first_a")
        last_1, valid_1 = delayed(m, last, 1, "last_a"), delayed(m, issue, 1, "valid_a")
        fetch_1, chunk_1 = delayed(m, fetch, 1, "fetch_a"), delayed(m, chunk, 1, "chunk_a")
        column_2, first_2 = delayed(m, column_1, 1, "column_b"), delayed(m, first_1, 1, "first_b")
        valid_2, last_2 = delayed(m, valid_1, 1, "valid_b"), delayed(m, last_1 & valid_1, 1, "last_b")
        loaded = self.loaded
        low = Signal(8 * lines)
        high = Signal(8 * lines)
        m.d.comb += [
            low.eq(Mux(loaded.nibbles, nibbles(loaded.data, 0), loaded.data)),
            high.eq(Mux(loaded.nibbles, nibbles(loaded.data, 4), loaded.data)),
        ]

        def loads(dest: Dest, lane: int) -> Signal:
            """Whether the loaded word goes to a lane's bank."""
            here = loaded.part == lane
            if lane % 2:
                here |= loaded.nibbles & (loaded.part == lane - 1)
            return loaded.valid & (loaded.dest == dest) & here

        operand = Signal(8 * lanes)
        for lane in range(lanes):
            byte = Signal(8, name=f"weight_{lane}")
            m.submodules[f"weights_{lane}"] = instance(
                WeightBank.ports(machine),
                "p2vit_weight_bank",
                load=loads(Dest.WEIGHTS, lane),
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_word=high if lane % 2 else low,
                fetch=fetch,
                slot=slots["weights"],
                row=weight_row,
                column=column_1,
                enabled=~last_1 | (lane < run["tail"]),
                byte=byte,
            )
            m.d.comb += operand[8 * lane : 8 * lane + 8].eq(byte)

        # --- column parameters: read so that they meet the accumulator's result
        last_4 = delayed(m, last_2, 2, "last_c")
        with m.If(last_4):
            m.d.sync += parameter.eq(parameter + 1)
        width = min(8 * lines, 8 * COLUMN_PARAMETER_BYTES)
        parts = []
        for part in range(machine.parameter_words):
            here = loaded.valid & (loaded.dest == Dest.COLUMN_PARAMETERS) & (loaded.part == part)
            parts.append(
                ram(
                    m,
                    f"parameters_{part}",
                    width,
                    2 * machine.columns,
                    write_enable=here,
                    write_address=place(loaded.slot, loaded.row, machine.columns),
                    write_data=loaded.data[:width],
                    read_enable=last_4,
                    read_address=place(slots["parameters"], parameter, machine.columns),
                )
            )
        bias_shift = Signal(8 * COLUMN_PARAMETER_BYTES)
        m.d.comb += bias_shift.eq(Cat(*parts))

        # --- lines
        done = delayed(m, last_4, LINE_LATENCY - 2, "last_d")
        written = Signal(16)
        with m.If(start):
            m.d.sync += written.eq(0)
        with m.Elif(done):
            m.d.sync += written.eq(written + 1)
        load_enable = Cat(loads(Dest.ROWS, lane) for lane in range(lanes))
        parameter_write = loaded.valid & (loaded.dest == Dest.LINE_PARAMETERS)
        for line in range(lines):
            byte = Signal(8, name=f"output_{line}")
            m.submodules[f"line_{line}"] = instance(
                Line.ports(machine),
                "p2vit_line",
                load_enable=load_enable,
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_low=low[8 * line : 8 * line + 8],
                load_high=high[8 * line : 8 * line + 8],
                parameter_write=parameter_write,
                parameter_index=loaded.row[:3],
                slot=slots["rows"],
                fetch=fetch_1,
                chunk=chunk_1,
                weights=operand,
                signed_rows=run["signed_rows"],
                log2=run["log2"],
                guard=run["guard"],
                first=first_2,
                valid=valid_2,
                column=column_2,
                mode=run["mode"],
                planes=run["planes"],
                column_bias=bias_shift[:32],
                column_shift=bias_shift[48:54],
                divide=divide,
                write=done,
                write_slot=slots["output"],
                write_column=written,
                read=self.output.enable,
                read_slot=self.output.slot,
                read_column=self.output.column,
                read_plane=self.output.plane,
                byte=byte,
            )
            m.d.comb += self.output.data[8 * line : 8 * line + 8].eq(byte)
        return m


def nibbles(word: Signal, first: int) -> Cat:
    """One nibble of every byte, sign-extended to eight bits."""
    return Cat(
        Cat(word[at + first : at + first + 4], word[at + first + 3].replicate(4))
        for at in range(0, len(word), 8)
    )
