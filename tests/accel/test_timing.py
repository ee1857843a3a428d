from p2vit.accel.machine.machines import load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.resolve import workload_of


def test_phases_make_the_run():
    timing = map_workload(load_machine("paper"), workload_of("deit_tiny_patch16_224")).timing
    started = timing.cycles - sum(phase.cycles for phase in timing.phases)
    # first weights and pixels in front, the last operation's pipeline behind
    assert 0 < started < 0.01 * timing.cycles
