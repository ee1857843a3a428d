import pytest

from p2vit.accel.explain import LEVERS, limiting_resource, roofline, what_would_help
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of

SMALL = workload_of("deit_small_patch16_224")
PAPER = load_machine("paper")


@pytest.mark.parametrize(
    ("path", "value", "lever"),
    [
        ("dram.bandwidth_gbytes_per_s", 0.5, "DRAM bandwidth"),
        ("chunks.softmax.lanes", 1, "softmax lanes"),
        ("chunks.requantization.lanes", 1, "re-quantization lanes"),
        ("chunks.gelu.lanes", 1, "GELU lanes"),
    ],
)
def test_the_bottleneck_is_what_helps(path, value, lever):
    best = what_would_help(SMALL, edit_machine(PAPER, {path: value}))[0]
    assert best.name == lever
    assert best.gain > 1.3


def test_a_balanced_machine_needs_macs():
    levers = what_would_help(SMALL, PAPER)
    assert levers[0].name.startswith("MAC")
    assert {lever.name for lever in levers} == set(LEVERS)
    assert all(lever.gain >= 1 for lever in levers)


@pytest.mark.parametrize("hardware", known_machines())
def test_a_lever_is_simulated_or_not_offered(hardware):
    machine, tiny = load_machine(hardware), workload_of("deit_tiny_patch16_224")
    for lever in what_would_help(tiny, machine):
        then = simulate(tiny, edit_machine(machine, {lever.path: lever.after})).result
        assert then.cycles == lever.cycles
        assert lever.after == 2 * lever.before


def test_limiting_resource():
    run = simulate(SMALL, PAPER)
    assert limiting_resource(run)[0] == "mac_array"
    slow = edit_machine(PAPER, {"dram.bandwidth_gbytes_per_s": 0.5})
    assert limiting_resource(simulate(SMALL, slow))[0] == "dram"


def test_nothing_is_above_the_roof():
    run = simulate(SMALL, PAPER, "events")
    peak = 2 * PAPER.chunks.mac_array.macs_per_cycle * PAPER.clock_mhz / 1e3
    points = roofline(run)
    assert len(points) == 74
    assert all(point.gops <= peak * 1.001 for point in points)
