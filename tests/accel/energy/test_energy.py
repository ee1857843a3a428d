import pytest

from p2vit.accel.chunks.costs import MAC, SHIFTER
from p2vit.accel.energy.energy import element_pj, mac_pj, requant_pj
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.machine.technology import load_technology
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of

TABLE = load_technology("horowitz45").energy
TINY = "deit_tiny_patch16_224"


def test_requantizers_are_ordered_as_synthesised():
    methods = ("shift", "multiplier8", "multiplier16", "multiplier32")
    energies = [requant_pj(TABLE, method) for method in methods]
    assert energies == sorted(energies)
    assert requant_pj(TABLE, "float32") > energies[0]


def test_a_mac_is_horowitz_multiply_and_add():
    assert mac_pj(TABLE, MAC, 8) == pytest.approx(0.2 + 0.1)
    assert mac_pj(TABLE, MAC, 4) < mac_pj(TABLE, MAC, 8)
    assert mac_pj(TABLE, SHIFTER, 0) < mac_pj(TABLE, MAC, 8)


@pytest.mark.parametrize(
    "kind",
    ["layernorm", "softmax", "lookup", "add", "score_bias", "rotary", "multiply", "tokens", "pool", "affine"],
)
def test_nothing_computes_for_free(kind):
    assert element_pj(TABLE, kind) > 0


def test_leakage_grows_with_time():
    machine = edit_machine(load_machine("paper"), {"technology": "horowitz45"})
    slow = machine.with_pipelining(inter_layer=False, intra_layer=False)
    fast, late = (
        simulate(workload_of(TINY), m).result.energy_breakdown_mj["leakage"] for m in (machine, slow)
    )
    assert late > fast > 0


def test_four_bits_save_dram_energy():
    machine = load_machine("paper")
    eight, four = (simulate(workload_of(TINY, Precision(bits)), machine).result for bits in (8, 4))
    assert four.energy_breakdown_mj["dram"] < 0.65 * eight.energy_breakdown_mj["dram"]
