"""The vector engine: LayerNorm, softmax, table, add, affine, sums and moves, all lines at once, a column per cycle."""

from amaranth.hdl import Array, Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.numerics.layernorm import TABLE_FIRST
from p2vit.rtl.top.bits import field, requantized
from p2vit.rtl.top.bus import delayed, instance, loaded_signature, output_signature, place, queue_signature
from p2vit.rtl.top.descriptor import Dest, Kind, VectorOp
from p2vit.rtl.top.line import tree
from p2vit.rtl.top.machine import (
    COLUMN_PARAMETER_BYTES,
    LANE_LATENCY,
    NORM_TABLE_ENTRIES,
    SHIFT_STEPS,
    SUM_BYTES,
    TOTAL_STEPS,
    VECTOR_DRAIN,
    RtlMachine,
)
from p2vit.rtl.top.primitives import ram
from p2vit.rtl.top.vector_lane import VectorLane


class VectorEngine(wiring.Component):
    """Passes over the columns of one group of tokens.

    One pass takes ``count`` cycles and ``VECTOR_DRAIN`` to run dry. Table, add, affine, copy and sum take one pass,
    softmax two and its sum's four bytes, LayerNorm three with its scalars between.

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
                "vector_full": In(1),
                "parameters_full": In(1),
                "output_free": In(1),
                "take_vector": Out(1),
                "take_parameters": Out(1),
                "take_output": Out(1),
                "release_vector": Out(1),
                "release_parameters": Out(1),
                "release_table": Out(1),
                "finish": Out(1),
                "idle": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Control, buffers, lanes, output buffer."""
        m = Module()
        machine = self.machine
        lines, word, depth = machine.lines, 8 * machine.lines, machine.vector_columns
        loaded = self.loaded

        def take(name: str) -> Signal:
            return field(self.queue.word, Kind.VECTOR, name)

        names = (
            *(
                "op",
                "count",
                "emit",
                "planes",
                "line_first",
                "line_end",
                "group_columns",
                "softmax_shift",
                "log2",
            ),
            *(
                "guard",
                "limit",
                "epsilon",
                "epsilon_shift",
                "squares_shift",
                "first",
                "flip",
                "narrow_a",
                "narrow_b",
            ),
        )
        run = {name: Signal(len(take(name)), name=f"run_{name}") for name in names}
        release = {name: Signal(name=f"run_release_{name}") for name in ("vector", "parameters", "table")}
        slots = {name: Signal(name=f"{name}_slot") for name in ("vector", "parameters", "output")}
        at, phase, wait = Signal(16), Signal(2), Signal(range(max(VECTOR_DRAIN, lines, SHIFT_STEPS) + 2))
        group, in_group = Signal(range(max(machine.table_groups, 2))), Signal(16)
        issue, start, final, clear = Signal(), Signal(), Signal(), Signal()
        strobes = {
            name: Signal(name=name)
            for name in ("step_most", "step_least", "step_shift", "step_total", "step_exponent", "step_index")
        }
        factor_at, reading_factors = Signal(range(lines)), Signal()
        sum_byte, sum_valid = Signal(2), Signal()
        m.d.comb += [
            self.queue.ready.eq(start),
            self.take_vector.eq(start & take("take")),
            self.take_parameters.eq(start & take("take_parameters")),
            self.take_output.eq(start & take("emit")),
            clear.eq(start),
            self.busy.eq(~self.idle),
        ]
        ready = (
            (~take("take") | self.vector_full)
            & (~take("take_parameters") | self.parameters_full)
            & (~take("emit") | self.output_free)
        )
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [start.eq(self.queue.valid & ready), self.idle.eq(1)]
                with m.If(start):
                    m.d.sync += [run[name].eq(take(name)) for name in names]
                    m.d.sync += [
                        release["vector"].eq(take("release")),
                        release["parameters"].eq(take("release_parameters")),
                        release["table"].eq(take("release_table")),
                        at.eq(0),
                        phase.eq(0),
                        group.eq(0),
                        in_group.eq(0),
                    ]
                    m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += issue.eq(1)
                m.d.sync += [at.eq(at + 1), wait.eq(VECTOR_DRAIN - 1), in_group.eq(in_group + 1)]
                with m.If(in_group == run["group_columns"] - 1):
                    m.d.sync += [in_group.eq(0), group.eq(group + 1)]
                with m.If(at == run["count"] - 1):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += [at.eq(0), wait.eq(0)]
                    with m.If((run["op"] == VectorOp.LAYERNORM) & (phase == 0)):
                        m.next = "SHIFT"
                    with m.Elif((run["op"] == VectorOp.LAYERNORM) & (phase == 1)):
                        m.next = "TOTAL"
                    with m.Elif((run["op"] == VectorOp.SOFTMAX) & (phase == 0)):
                        m.d.sync += phase.eq(1)
                        m.next = "PASS"
                    with m.Elif((run["op"] == VectorOp.SOFTMAX) & (phase == 1)):
                        m.d.sync += sum_byte.eq(0)
                        m.next = "SUM"
                    with m.Else():
                        m.d.comb += final.eq(1)
                        m.next = "IDLE"
            with m.State("SHIFT"):
                m.d.sync += wait.eq(wait + 1)
                m.d.comb += [
                    strobes["step_most"].eq(wait == 0),
                    strobes["step_least"].eq(wait == 1),
                    strobes["step_shift"].eq(wait == SHIFT_STEPS - 1),
                ]
                with m.If(wait == SHIFT_STEPS - 1):
                    m.d.sync += phase.eq(1)
                    m.next = "PASS"
            with m.State("TOTAL"):
                m.d.sync += [wait.eq(wait + 1), factor_at.eq(0)]
                m.d.comb += [
                    strobes["step_total"].eq(wait == 0),
                    strobes["step_exponent"].eq(wait == 1),
                    strobes["step_index"].eq(wait == 2),
                ]
                with m.If(wait == TOTAL_STEPS - 1):
                    m.next = "FACTORS"
            with m.State("FACTORS"):
                m.d.comb += reading_factors.eq(1)
                m.d.sync += factor_at.eq(factor_at + 1)
                with m.If(factor_at == lines - 1):
                    m.d.sync += [phase.eq(2), factor_at.eq(0)]
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "PASS"
            with m.State("SUM"):
                m.d.comb += sum_valid.eq(1)
                m.d.sync += sum_byte.eq(sum_byte + 1)
                with m.If(sum_byte == SUM_BYTES - 1):
                    m.d.comb += final.eq(1)
                    m.next = "IDLE"
        m.d.comb += [
            self.finish.eq(final & run["emit"]),
            self.release_vector.eq(final & release["vector"]),
            self.release_parameters.eq(final & release["parameters"]),
            self.release_table.eq(final & release["table"]),
        ]
        with m.If(final):
            with m.If(run["emit"]):
                m.d.sync += slots["output"].eq(~slots["output"])
            for name in ("vector", "parameters"):
                with m.If(release[name]):
                    m.d.sync += slots[name].eq(~slots[name])

        # --- parameters of the columns
        width = min(word, 8 * COLUMN_PARAMETER_BYTES)
        parts = []
        for part in range(machine.parameter_words):
            here = loaded.valid & (loaded.dest == Dest.VECTOR_PARAMETERS) & (loaded.part == part)
            parts.append(
                ram(
                    m,
                    f"parameters_{part}",
                    width,
                    2 * depth,
                    write_enable=here,
                    write_address=place(loaded.slot, loaded.row, depth),
                    write_data=loaded.data[:width],
                    read_enable=issue,
                    read_address=place(slots["parameters"], at, depth),
                )
            )
        parameter = Signal(64)
        m.d.comb += parameter.eq(Cat(*parts))
        # The reciprocal roots: read one line per cycle, so one port is enough.
        indices = Array([Signal(10, name=f"index_{line}") for line in range(lines)])
        root = ram(
            m,
            "roots",
            15,
            NORM_TABLE_ENTRIES,
            write_enable=loaded.valid & (loaded.dest == Dest.NORM_TABLE),
            write_address=loaded.row,
            write_data=loaded.data[:15],
            read_enable=reading_factors,
            read_address=indices[factor_at] - TABLE_FIRST,
        )
        factor_line = delayed(m, factor_at, 1, "factor_line")
        factor_valid = delayed(m, reading_factors, 1, "factor_valid")

        # --- sum over tokens: a tree over the lines, an accumulator per column
        valid_1 = delayed(m, issue, 1, "valid")
        aligned = [Signal(signed(17), name=f"aligned_{line}") for line in range(lines)]
        over_lines, column_total = Signal(32), Signal(32)
        m.d.sync += over_lines.eq(tree(list(aligned)))
        column_3, valid_3 = delayed(m, at, 3, "column"), delayed(m, valid_1, 2, "sum_valid")
        before = ram(
            m,
            "column_sums",
            32,
            depth,
            write_enable=valid_3 & (run["op"] == VectorOp.SUM),
            write_address=column_3,
            write_data=column_total,
            read_enable=1,
            read_address=delayed(m, at, 2, "column_before"),
        )
        kept, sum_shift = Signal(signed(32)), Signal(signed(6))
        m.d.comb += [
            column_total.eq(over_lines + Mux(run["first"], 0, before)),
            sum_shift.eq(delayed(m, parameter, 3, "sum_parameter")[48:54]),
        ]
        m.d.sync += kept.eq(column_total)
        column_sum, column_sum_late = Signal(16), Signal(16)
        m.d.sync += [
            column_sum.eq(requantized(m, kept, sum_shift, run["planes"], "sum")),
            column_sum_late.eq(column_sum),
        ]

        # --- output buffer
        last_phase = Signal()
        m.d.comb += last_phase.eq(
            Mux(
                run["op"] == VectorOp.LAYERNORM,
                phase == 2,
                Mux(run["op"] == VectorOp.SOFTMAX, phase == 1, run["emit"]),
            )
        )
        done = Signal()
        m.d.comb += done.eq(delayed(m, valid_1, LANE_LATENCY, "done") & last_phase)
        written = Signal(16)
        with m.If(start):
            m.d.sync += written.eq(0)
        with m.Elif(done | sum_valid):
            m.d.sync += written.eq(written + 1)

        # --- lanes
        arrives = loaded.valid & (loaded.dest == Dest.VECTOR)
        load_enable = Cat(arrives & (loaded.part == plane) for plane in range(4))
        # The lanes' clock stands still where nothing is loaded, computed or read out.
        gated = Signal()
        m.submodules.clock_gate = Instance(
            "p2vit_clock_gate",
            i_clk=ClockSignal(),
            i_enable=~self.idle
            | start
            | ResetSignal()
            | self.output.enable
            | (loaded.valid & ((loaded.dest == Dest.VECTOR) | (loaded.dest == Dest.TABLE))),
            o_gated=gated,
        )
        fields = (
            "op",
            "planes",
            "limit",
            "epsilon",
            "epsilon_shift",
            "squares_shift",
            "softmax_shift",
            "log2",
        )
        for line in range(lines):
            inside, byte = Signal(name=f"inside_{line}"), Signal(8, name=f"output_{line}")
            m.d.comb += [
                inside.eq((run["line_first"] <= line) & (line < run["line_end"])),
                self.output.data[8 * line : 8 * line + 8].eq(byte),
            ]
            m.submodules[f"lane_{line}"] = instance(
                VectorLane.ports(machine),
                "p2vit_vector_lane",
                clock=gated,
                load_enable=load_enable,
                load_slot=loaded.slot,
                load_row=loaded.row,
                load_byte=loaded.data[8 * line : 8 * line + 8],
                table_enable=loaded.valid & (loaded.dest == Dest.TABLE),
                table_byte=loaded.data[:8],
                read=issue,
                slot=slots["vector"],
                column=at,
                parameter=parameter,
                valid=valid_1,
                inside=inside,
                group=group,
                clear=clear,
                phase=phase,
                channels=run["count"],
                factor_write=factor_valid & (factor_line == line),
                factor=root,
                aligned=aligned[line],
                index=indices[line],
                write=done | sum_valid,
                write_slot=slots["output"],
                write_column=written,
                column_sum=column_sum_late,
                sum_byte=sum_byte,
                sum_valid=sum_valid,
                output_read=self.output.enable,
                output_slot=self.output.slot,
                output_column=self.output.column,
                output_plane=self.output.plane[0],
                byte=byte,
                **{name: run[name] for name in (*fields, "guard", "flip", "narrow_a", "narrow_b")},
                **strobes,
            )
        return m
