import pytest

from p2vit.accel.explore.evaluate import evaluate, evaluate_points
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of

PAPER, TINY = load_machine("paper"), workload_of("deit_tiny_patch16_224")


def test_figures_are_the_simulations():
    found, result = evaluate(PAPER, TINY), simulate(TINY, PAPER).result
    for name in ("latency_ms", "energy_mj", "area_mm2", "power_mw", "utilization"):
        assert found.values[name] == pytest.approx(getattr(result, name))


def test_what_does_not_fit_has_no_latency():
    found = evaluate(edit_machine(PAPER, {"buffers.activation.size_bytes": 1024}), TINY)
    assert not found.fits
    assert found.misfit > 0
    assert "latency_ms" not in found.values


def test_points_change_the_machine():
    points = [{"clock_mhz": 500, "weight_bits": 8}, {"clock_mhz": 250, "weight_bits": 8}]
    fast, slow = evaluate_points(PAPER, {8: TINY}, points)
    assert slow.values["latency_ms"] > 1.9 * fast.values["latency_ms"]


@pytest.mark.parametrize("machine", known_machines())
@pytest.mark.parametrize(
    "model", ["swin_tiny_patch4_window7_224", "vit_small_patch16_dinov3", "vit_base_patch16_siglip_224"]
)
def test_an_operation_that_no_engine_executes_is_a_misfit(machine, model):
    found = evaluate(load_machine(machine), workload_of(model))
    assert found.fits == (found.misfit == 0)
    assert found.fits or found.misfit > 0
