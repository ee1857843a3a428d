"""The array engine: row and weight buffers, the lines, and the output buffer behind their re-quantizers."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.bits import field
from p2vit.rtl.top.bus import buffer, instance, loaded_signature, output_signature, place, queue_signature
from p2vit.rtl.top.descriptor import Dest, Kind, Mode
from p2vit.rtl.top.line import DIVIDE_CYCLES, LINE_LATENCY, Line
from p2vit.rtl.top.machine import COLUMN_PARAMETER_BYTES, RtlMachine

#: From a counter's value to its operands in the lines' registers: address, memory, selection.
OPERAND_LATENCY = 2
#: From the last counter value to the last word in the output buffer.
ARRAY_DRAIN = OPERAND_LATENCY + LINE_LATENCY + 1


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
                "output": In(output_signature(machine, 4)),
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
        word = 8 * lines

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

        # --- operand buffers: bank p holds the terms ≡ p (mod lanes), one word of all lines each
        fetch = Signal()
        m.d.comb += fetch.eq(issue & (column == 0))
        fetched = {"rows": [], "weights": []}
        loaded = self.loaded
        low = Cat(sign_extend(loaded.data[8 * i : 8 * i + 4]) for i in range(lines))
        high = Cat(sign_extend(loaded.data[8 * i + 4 : 8 * i + 8]) for i in range(lines))
        for dest, name, depth, address in (
            (Dest.ROWS, "rows", machine.row_rows, chunk),
            (Dest.WEIGHTS, "weights", machine.weight_rows, weight_row),
        ):
            write_address = Signal(range(2 * depth), name=f"{name}_write_address")
            read_address = Signal(range(2 * depth), name=f"{name}_read_address")
            m.d.comb += [
                write_address.eq(place(loaded.slot, loaded.row, depth)),
                read_address.eq(place(slots[name], address, depth)),
            ]
            here = loaded.valid & (loaded.dest == dest)
            for lane in range(lanes):
                memory = buffer(m, f"{name}_{lane}", word, 2 * depth)
                write, read = memory.write_port(), memory.read_port()
                data, enable = loaded.data, here & (loaded.part == lane)
                if lane % 2:
                    enable |= here & loaded.nibbles & (loaded.part == lane - 1)
                    data = Mux(loaded.nibbles, high, loaded.data)
                else:
                    data = Mux(loaded.nibbles, low, loaded.data)
                m.d.comb += [
                    write.addr.eq(write_address),
                    write.data.eq(data),
                    write.en.eq(enable),
                    read.addr.eq(read_address),
                    read.en.eq(fetch),
                ]
                fetched[name].append(read.data)

        # --- operands: the column's byte of every bank; terms beyond the row's end are switched off
        def delayed(value: Signal, cycles: int, name: str) -> Signal:
            for step in range(cycles):
                following = Signal(value.shape(), name=f"{name}_{step}")
                m.d.sync += following.eq(value)
                value = following
            return value

        first, last, fetch_at = Signal(), Signal(), Signal()
        m.d.comb += [first.eq(chunk == 0), last.eq(chunk == run["chunks"] - 1)]
        column_1 = delayed(column, 1, "column_a")
        last_1, first_1 = delayed(last, 1, "last_a"), delayed(first, 1, "first_a")
        valid_1 = delayed(issue, 1, "valid_a")
        m.d.comb += fetch_at.eq(delayed(fetch, 1, "fetch_a"))
        operand = Signal(8 * lanes)
        for lane in range(lanes):
            enabled = ~last_1 | (lane < run["tail"])
            byte = Signal(8, name=f"weight_{lane}")
            m.d.comb += byte.eq(fetched["weights"][lane].word_select(column_1, 8))
            m.d.sync += operand[8 * lane : 8 * lane + 8].eq(Mux(enabled, byte, 0))
        column_2, first_2, valid_2 = (
            delayed(column_1, 1, "column_b"),
            delayed(first_1, 1, "first_b"),
            delayed(valid_1, 1, "valid_b"),
        )
        last_2 = delayed(last_1 & valid_1, 1, "last_b")

        # --- column parameters: read so that they meet the accumulator's result
        depth = machine.columns
        words = machine.parameter_words
        bias_shift = Signal(8 * COLUMN_PARAMETER_BYTES)
        parameter_address = Signal(range(2 * depth))
        m.d.comb += parameter_address.eq(place(slots["parameters"], parameter, depth))
        parts = []
        write_address = Signal(range(2 * depth), name="parameter_write_address")
        m.d.comb += write_address.eq(place(loaded.slot, loaded.row, depth))
        width = min(word, 8 * COLUMN_PARAMETER_BYTES)
        for part in range(words):
            memory = buffer(m, f"parameters_{part}", width, 2 * depth)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.addr.eq(write_address),
                write.data.eq(loaded.data[:width]),
                write.en.eq(loaded.valid & (loaded.dest == Dest.COLUMN_PARAMETERS) & (loaded.part == part)),
                read.addr.eq(parameter_address),
                read.en.eq(1),
            ]
            parts.append(read.data)
        m.d.comb += bias_shift.eq(Cat(*parts))
        last_4 = delayed(last_2, 2, "last_c")
        with m.If(last_4):
            m.d.sync += parameter.eq(parameter + 1)

        # --- lines
        results = []
        line_write = loaded.valid & (loaded.dest == Dest.LINE_PARAMETERS)
        for line in range(lines):
            result = Signal(32, name=f"result_{line}")
            m.submodules[f"line_{line}"] = instance(
                Line.ports(lanes, lines),
                "p2vit_line",
                rows=Cat(fetched["rows"][lane][8 * line : 8 * line + 8] for lane in range(lanes)),
                load_rows=fetch_at,
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
                parameter_write=line_write,
                parameter_slot=loaded.slot,
                parameter_index=loaded.row[:3],
                parameter_byte=loaded.data[8 * line : 8 * line + 8],
                slot=slots["rows"],
                divide=divide,
                result=result,
            )
            results.append(result)

        # --- output buffer: one memory per byte plane
        done = delayed(last_4, LINE_LATENCY - 2, "last_d")
        written = Signal(16)
        with m.If(start):
            m.d.sync += written.eq(0)
        with m.Elif(done):
            m.d.sync += written.eq(written + 1)
        out_write, out_read = Signal(range(2 * depth)), Signal(range(2 * depth))
        m.d.comb += [
            out_write.eq(place(slots["output"], written, depth)),
            out_read.eq(place(self.output.slot, self.output.column, depth)),
        ]
        planes = []
        for plane in range(4):
            memory = buffer(m, f"output_{plane}", word, 2 * depth)
            write, read = memory.write_port(), memory.read_port()
            used = {0: Const(1), 1: ~run["planes"][0]}.get(plane, run["planes"][2])
            m.d.comb += [
                write.addr.eq(out_write),
                write.data.eq(Cat(result[8 * plane : 8 * plane + 8] for result in results)),
                write.en.eq(done & used),
                read.addr.eq(out_read),
                read.en.eq(self.output.enable),
            ]
            planes.append(read.data)
        plane_at = Signal(2)
        with m.If(self.output.enable):
            m.d.sync += plane_at.eq(self.output.plane)
        m.d.comb += self.output.data.eq(Array(planes)[plane_at])
        return m


def sign_extend(nibble: Signal) -> Signal:
    """Four bits, two's complement, to eight."""
    return Cat(nibble, nibble[3].replicate(4))



