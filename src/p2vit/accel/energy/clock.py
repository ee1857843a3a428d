"""Energy of the clock while a chunk waits: its flip-flops get a clock although their data stays.

Flip-flops per lane and the share of the clock come from our own synthesis (results/rtl/synthesis.md, osu018, before
layout). Assumed: the clock of a waiting chunk is not gated, except where the generated accelerator gates it. Not
counted: clock tree, buffers of the clock, and flip-flops outside the chunks.
"""

from p2vit.accel.chunks.costs import ELEMENTWISE, GELU, LAYERNORM, MAC, REQUANT, SHIFTER, SOFTMAX
from p2vit.accel.machine.description import Machine, RequantMethod
from p2vit.accel.machine.technology import Technology
from p2vit.accel.timing import Timing

#: Energy of a flip-flop whose data stays, over its energy with data that changes in every fifth cycle: 7.08 pJ and
#: 8.11 pJ for the 32 flip-flops of ``register32``, by OpenSTA with the activities 0 and 0.2.
CLOCK_SHARE = 7.08 / 8.11
#: Flip-flops of one lane: ``mac_line`` and ``shifter_line`` have 16 lanes, ``layernorm`` and ``softmax_linear`` 4.
FLIP_FLOPS = {
    MAC: 535 / 16,
    SHIFTER: 427 / 16,
    LAYERNORM: 1900 / 4,
    SOFTMAX: 802 / 4,
    GELU: 10.0,
    ELEMENTWISE: 77.0,
}
#: Flip-flops of one re-quantization lane; wide multipliers and float32 as they are pipelined.
REQUANT_FLIP_FLOPS: dict[RequantMethod, float] = {
    "shift": 21.0,
    "multiplier8": 21.0,
    "multiplier16": 21.0,
    "multiplier32": 93.0,
    "float32": 174.0,
}


def flip_flops(machine: Machine) -> dict[str, float]:
    """Return the number of flip-flops of every chunk that has a clock while it waits."""
    chunks = machine.chunks
    lanes = {
        MAC: chunks.mac_array.macs_per_cycle,
        SHIFTER: machine.shifter_lanes,
        LAYERNORM: chunks.layernorm.lanes,
        SOFTMAX: chunks.softmax.lanes,
        GELU: chunks.gelu.lanes,
        ELEMENTWISE: chunks.elementwise.lanes,
    }
    count = {name: number * FLIP_FLOPS[name] for name, number in lanes.items() if name not in machine.gated}
    method = chunks.requantization.method
    return {**count, REQUANT: chunks.requantization.lanes * REQUANT_FLIP_FLOPS[method]}


def idle_clock_pj(machine: Machine, technology: Technology, timing: Timing) -> float:
    """Compute the energy of the clock of waiting chunks over a run, in pJ.

    Args:
        machine: Machine that ran.
        technology: Energy table.
        timing: Cycles of the run, and busy cycles of every chunk.
    """
    each = CLOCK_SHARE * technology.energy.register_bit_pj
    return each * sum(
        count * max(0.0, timing.cycles - timing.busy.get(name, 0.0))
        for name, count in flip_flops(machine).items()
    )
