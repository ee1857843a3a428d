import pytest

from p2vit.accel.chunks.costs import MAC, REQUANT
from p2vit.accel.energy.clock import CLOCK_SHARE, FLIP_FLOPS, flip_flops, idle_clock_pj
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.machine.technology import known_technologies, load_technology
from p2vit.accel.simulate import simulate
from p2vit.accel.timing import Timing
from p2vit.accel.workload.resolve import workload_of

PAPER, TABLE = load_machine("paper"), load_technology("horowitz45")


def test_a_flip_flop_of_a_waiting_chunk_takes_the_clocks_share():
    busy = dict.fromkeys(FLIP_FLOPS, 100.0)
    waits = {MAC: 40.0, REQUANT: 90.0}
    found = idle_clock_pj(
        PAPER, TABLE, Timing(100, busy | {name: 100 - n for name, n in waits.items()}, {}, ())
    )
    each = CLOCK_SHARE * TABLE.energy.register_bit_pj
    count = flip_flops(PAPER)
    assert found == pytest.approx(each * sum(count[name] * n for name, n in waits.items()))
    assert count[MAC] == 20 * 64 * 535 / 16
    assert idle_clock_pj(PAPER, TABLE, Timing(100, busy | {REQUANT: 100.0}, {}, ())) == 0


def test_the_lanes_of_a_generated_vector_engine_are_gated():
    assert set(flip_flops(load_machine("rtl"))) == {"mac_array", "shifter_array", "requantization"}


@pytest.mark.parametrize("table", known_technologies())
def test_every_table_has_leakage_and_an_idle_clock(table):
    machine = edit_machine(PAPER, {"technology": table})
    energy = simulate(workload_of("deit_tiny_patch16_224"), machine).result.energy_breakdown_mj
    assert energy["leakage"] > 0
    assert energy["idle_clock"] > 0


def test_waiting_longer_takes_more():
    slow = PAPER.with_pipelining(inter_layer=False, intra_layer=False)
    fast, late = (
        simulate(workload_of("deit_tiny_patch16_224"), machine).result.energy_breakdown_mj["idle_clock"]
        for machine in (PAPER, slow)
    )
    assert late > 1.5 * fast
