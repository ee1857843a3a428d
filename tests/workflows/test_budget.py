import numpy as np
import pytest

from p2vit.accel.costing import CostModel
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.resolve import workload_of
from p2vit.errors import P2vitError
from p2vit.models.architectures import ARCHITECTURES
from p2vit.quant.search.coarse import solve
from p2vit.quant.search.cost import BudgetError
from p2vit.quant.search.fitted import proposals
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.space import Space
from p2vit.workflows.budget import accelerator_budget, read_budget

NAME = "deit_tiny_patch16_224"
CONFIG = ARCHITECTURES[NAME].config
LAYERS = searchable(CONFIG)
WIDE, NARROW = ({layer.name: width for layer in LAYERS} for width in (8, 4))


def read(text, widths=(4, 8), hardware=None, **options):
    return read_budget(text, LAYERS, widths, CONFIG, hardware, **options)


@pytest.mark.parametrize(("name", "field"), [("latency-ms", "latency_ms"), ("energy-mj", "energy_mj")])
@pytest.mark.parametrize("hardware", ["paper", "edge"])
def test_the_whole_costs_what_the_simulator_says(name, field, hardware):
    from p2vit.accel.workload.precision import Precision

    budget = read(f"{name}=3", hardware=hardware)
    machine = load_machine(hardware)
    for bits in (WIDE, NARROW, {**WIDE, "blocks.3.mlp.fc1": 4}):
        model = CostModel(workload_of(NAME, Precision(log2_attention=False)), machine)
        assert budget.total(bits) == getattr(model.total(bits), field)
    assert (budget.name, budget.limit) == (name, 3.0)


@pytest.mark.parametrize("hardware", ["paper", "fpga", "multiplier_requant"])
def test_prices_add_up_nearly_and_mixes_fit_exactly(hardware):
    budget = read("latency-ms=1", hardware=hardware)
    wide, narrow = budget.total(WIDE), budget.total(NARROW)
    prices = sum(budget.price.cost(layer.name, 8) for layer in LAYERS)
    assert prices == pytest.approx(wide)
    middle = read(f"latency-ms={(wide + narrow) / 2}", hardware=hardware)
    random = np.random.default_rng(0)
    harm = {layer.name: {4: float(random.random()), 8: 0.0} for layer in LAYERS}
    found = solve(harm, middle)
    assert narrow < middle.total(found) <= middle.limit
    assert middle.total(found) > 0.93 * middle.limit
    space = Space(LAYERS, (4, 8), middle)
    mixes = [space.random(random) for _ in range(10)]
    mixes += proposals(space, {mix: float(index) for index, mix in enumerate(mixes)}, 3, random)
    assert all(middle.total(space.bits(mix)) <= middle.limit for mix in mixes)


def test_the_narrowest_fits_a_limit_that_is_just_its_cost():
    budget = read("latency-ms=1", hardware="fpga")
    tight = read(f"latency-ms={budget.total(NARROW)!r}", hardware="fpga")
    harm = {layer.name: {4: 1.0, 8: 0.0} for layer in LAYERS}
    assert tight.holds(solve(harm, tight))


def test_an_infeasible_latency_says_by_how_much_it_misses():
    smallest = read("latency-ms=1").total(NARROW)
    with pytest.raises(
        BudgetError, match=r"latency-ms=0\.1 is infeasible: it misses by .*smallest feasible"
    ) as caught:
        solve({layer.name: {4: 1.0, 8: 0.0} for layer in LAYERS}, read("latency-ms=0.1"))
    assert caught.value.smallest == smallest


def test_the_softmax_of_the_program_counts():
    assert read("energy-mj=1", log2_softmax=True).total(WIDE) != read("energy-mj=1").total(WIDE)


def test_other_budgets_are_those_of_the_weights():
    assert read("average-bits=5").total(NARROW) == pytest.approx(4)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("latency=3", {}, "Did you mean 'latency-ms'.* energy-mj=NUMBER"),
        ("bytes=2M", {"hardware": "edge"}, "--hw edge is for budgets of an accelerator, not for bytes"),
        ("latency-ms=3", {"widths": (4, 5, 8)}, "--widths 4,5,8: the accelerator's array multiplies"),
        ("latency-ms=3", {"hardware": "papier"}, "paper"),
    ],
)
def test_what_cannot_be_is_refused(text, options, message):
    with pytest.raises(P2vitError, match=message):
        read(text, **options)


def test_prices_are_of_one_image():
    model = CostModel(workload_of(NAME), load_machine("paper"))
    budget = accelerator_budget("energy-mj", 1.0, LAYERS, model)
    assert budget.total(WIDE) == model.total(WIDE).energy_mj
