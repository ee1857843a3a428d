"""Control of the vector engine: passes over the columns, and scalar steps between passes."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from p2vit.accel.load_store.formats import SUM_BYTES
from p2vit.hdl.top.decode import decoder
from p2vit.hdl.top.descriptor import Kind, VectorOp
from p2vit.hdl.top.machine import SHIFT_STEPS, TOTAL_STEPS, VECTOR_DRAIN, RtlMachine

#: Fields of the descriptor that are registered for the duration of a run.
RUN_FIELDS = (
    *("op", "count", "planes", "line_first", "line_end", "group_columns", "softmax_shift", "log2", "guard"),
    *("limit", "epsilon", "epsilon_shift", "squares_shift", "first", "flip", "narrow_a", "narrow_b"),
)
#: Strobes of the scalar steps in the lanes.
STEPS = ("step_most", "step_least", "step_shift", "step_total", "step_exponent", "step_index")


class VectorControl:
    """State machine of the vector engine.

    One pass takes ``count`` cycles and ``VECTOR_DRAIN`` cycles of drain. Table, add, affine, copy and sum take one
    pass. Softmax takes two passes and four cycles for the row sum. LayerNorm takes three passes with scalar steps
    between them.

    Attributes:
        start: High in the cycle in which a run starts.
        final: High in the cycle in which the run ends.
        idle: High while there is no run.
        run: Registered fields of the run, by name.
        phase: Number of the pass.
        at: Column that is issued.
        issue: High in cycles in which a column is issued.
        group: Lookup table of the issued column.
        strobes: Strobes of the scalar steps in the lanes, by name.
        factor_at: Line whose factor is read.
        reading_factors: High in cycles in which a factor is read.
        sum_byte: Byte of the row sums that is written.
        sum_valid: High in cycles in which such a byte is written.
        last_phase: High in the pass that has output.
    """

    def __init__(self, m: Module, queue: Any, machine: RtlMachine) -> None:
        self.machine = machine
        take = decoder(queue.word, Kind.VECTOR)
        self.run = {name: Signal(len(take(name)), name=f"run_{name}") for name in RUN_FIELDS}
        self.loads = [self.run[name].eq(take(name)) for name in RUN_FIELDS]
        self.start, self.final, self.idle = Signal(name="start"), Signal(name="final"), Signal(name="idle")
        self.at, self.phase, self.issue = Signal(16, name="at"), Signal(2, name="phase"), Signal(name="issue")
        self.group = Signal(range(max(machine.table_groups, 2)), name="group")
        self.strobes = {name: Signal(name=name) for name in STEPS}
        self.factor_at = Signal(range(machine.lines), name="factor_at")
        self.reading_factors = Signal(name="reading_factors")
        self.sum_byte, self.sum_valid = Signal(2, name="sum_byte"), Signal(name="sum_valid")
        self.wait = Signal(range(max(VECTOR_DRAIN, machine.lines, SHIFT_STEPS) + 2), name="wait")
        self.last_phase = Signal(name="last_phase")
        m.d.comb += queue.ready.eq(self.start)

    def states(self, m: Module, ready: Value) -> None:
        """Add the state machine.

        Args:
            m: Module of the engine.
            ready: High if the next run may start.
        """
        run, wait, phase, at = self.run, self.wait, self.phase, self.at
        is_norm, is_softmax = run["op"] == VectorOp.LAYERNORM, run["op"] == VectorOp.SOFTMAX
        in_group = Signal(16, name="in_group")
        m.d.comb += self.last_phase.eq(Mux(is_norm, phase == 2, Mux(is_softmax, phase == 1, 1)))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.start.eq(ready), self.idle.eq(1)]
                with m.If(self.start):
                    m.d.sync += [*self.loads, at.eq(0), phase.eq(0), self.group.eq(0), in_group.eq(0)]
                    m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += self.issue.eq(1)
                m.d.sync += [at.eq(at + 1), wait.eq(VECTOR_DRAIN - 1), in_group.eq(in_group + 1)]
                with m.If(in_group == run["group_columns"] - 1):
                    m.d.sync += [in_group.eq(0), self.group.eq(self.group + 1)]
                with m.If(at == run["count"] - 1):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += [at.eq(0), wait.eq(0)]
                    with m.If(is_norm & (phase == 0)):
                        m.next = "SHIFT"
                    with m.Elif(is_norm & (phase == 1)):
                        m.next = "TOTAL"
                    with m.Elif(is_softmax & (phase == 0)):
                        m.d.sync += phase.eq(1)
                        m.next = "PASS"
                    with m.Elif(is_softmax & (phase == 1)):
                        m.d.sync += self.sum_byte.eq(0)
                        m.next = "SUM"
                    with m.Else():
                        m.d.comb += self.final.eq(1)
                        m.next = "IDLE"
            with m.State("SHIFT"):
                m.d.sync += wait.eq(wait + 1)
                m.d.comb += [
                    self.strobes["step_most"].eq(wait == 0),
                    self.strobes["step_least"].eq(wait == 1),
                    self.strobes["step_shift"].eq(wait == SHIFT_STEPS - 1),
                ]
                with m.If(wait == SHIFT_STEPS - 1):
                    m.d.sync += phase.eq(1)
                    m.next = "PASS"
            with m.State("TOTAL"):
                m.d.sync += [wait.eq(wait + 1), self.factor_at.eq(0)]
                m.d.comb += [
                    self.strobes["step_total"].eq(wait == 0),
                    self.strobes["step_exponent"].eq(wait == 1),
                    self.strobes["step_index"].eq(wait == 2),
                ]
                with m.If(wait == TOTAL_STEPS - 1):
                    m.next = "FACTORS"
            with m.State("FACTORS"):
                m.d.comb += self.reading_factors.eq(1)
                m.d.sync += self.factor_at.eq(self.factor_at + 1)
                with m.If(self.factor_at == run["line_end"] - 1):
                    m.d.sync += [phase.eq(2), self.factor_at.eq(0)]
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "PASS"
            with m.State("SUM"):
                m.d.comb += self.sum_valid.eq(1)
                m.d.sync += self.sum_byte.eq(self.sum_byte + 1)
                with m.If(self.sum_byte == SUM_BYTES - 1):
                    m.d.comb += self.final.eq(1)
                    m.next = "IDLE"
