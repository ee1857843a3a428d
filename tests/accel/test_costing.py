import pytest

from p2vit.accel.costing import CostModel
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of

MODEL = CostModel(workload_of("deit_small_patch16_224"), load_machine("paper"))


def test_four_bits_cost_less():
    eight, four = MODEL.layer("blocks.0.mlp.fc1", 8), MODEL.layer("blocks.0.mlp.fc1", 4)
    assert four.cycles == pytest.approx(eight.cycles / 2, rel=0.02)
    assert four.energy_mj < eight.energy_mj


def test_layers_add_up_to_nearly_the_model():
    layers = sum(MODEL.layer(name, 8).cycles for name in MODEL.linears)
    assert 0.9 < layers / MODEL.total({}).cycles < 1


def test_total_is_the_simulation():
    result = simulate(MODEL.workload, MODEL.machine).result
    total = MODEL.total({})
    assert (total.cycles, total.energy_mj) == (result.cycles, pytest.approx(result.energy_mj))
    assert total.latency_ms == pytest.approx(result.latency_ms)


def test_every_layer_at_four_bits_helps_the_total():
    assert MODEL.total(dict.fromkeys(MODEL.linears, 4)).cycles < 0.6 * MODEL.total({}).cycles


def test_wrong_names_and_bits_all_at_once():
    with pytest.raises(
        AccelError, match=r"(?s)no linear is called 'blocks.0.mlp.fc'.*weight_bits 6; allowed: 4, 8"
    ):
        MODEL.total({"blocks.0.mlp.fc": 4, "blocks.0.mlp.fc1": 6})
