import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.numerics import AttentionValues
from p2vit.rtl.modules.attention_values import ShifterArray
from p2vit.rtl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.rtl.simulate import Simulation
from support.rtl_checking import check, check_streaming_time

DIVISIONS = [
    RowDivision(3),
    RowDivision(1, output_bits=16),
    RowDivision(20),
    RowDivision(7, output_bits=16),
    RowDivision(5),
    RowDivision(2, output_bits=16),
]


def test_reciprocals_are_floored_quotients():
    check(Reciprocal(), 3000, icarus=50)


def test_a_reciprocal_takes_as_long_as_it_says():
    module = Reciprocal()
    run = Simulation(module, module.key).run({"i": {"total": np.arange(1, 20)}}, {"o": 19})
    assert (np.diff(run.moved["i"]) == module.timing.interval).all()
    assert (run.moved["o"] - run.moved["i"] == module.timing.latency).all()


def test_division_after_the_product():
    check(DIVISIONS[0], 10_000, icarus=300)
    check_streaming_time(DIVISIONS[0])


def test_attention_times_values_is_the_operators_own():
    rng = np.random.default_rng(2)
    tokens, heads, width = 9, 2, 4
    codes = rng.integers(0, 16, (1, heads, tokens, tokens)).astype(np.uint8)
    codes[..., 0] = 0
    v = rng.integers(-128, 128, (1, tokens, heads * width)).astype(np.int8)
    norm = AttentionValues(heads, rng.integers(-3, 3, heads * width).astype(np.int8), "log2", 12)
    array, reciprocal, division = ShifterArray(3, 5, depth=3), Reciprocal(), RowDivision(3)
    expected = norm.compute(codes, v)[0]
    for head in range(heads):
        columns = v[0, :, head * width : (head + 1) * width]
        padded = np.zeros((width, 10), np.int64)
        padded[:, :tokens] = columns.T
        for group in range(3):
            held = np.zeros((3, 2, 5), np.int64)
            held.reshape(3, 10)[:, :tokens] = codes[0, head, group * 3 : group * 3 + 3]
            rows = array.row_sample(held) | {"guard": np.full(6, 12)}
            last = np.tile([0, 1], width)
            done = np.zeros(2 * width, np.int64)
            done[-1] = 1
            values = {"v": padded.reshape(width * 2, 5), "last": last, "done": done}
            acc = (
                Simulation(array, array.key)
                .run({"rows": rows, "values": values}, {"o": width})
                .outputs["o"]["acc"]
            )
            total = norm.weights_of(codes[0, head, group * 3 : group * 3 + 3]).sum(axis=1)
            found = Simulation(reciprocal, reciprocal.key).run({"i": {"total": total}}, {"o": 3}).outputs["o"]
            shift = np.repeat(norm.shift[head * width : (head + 1) * width, None].astype(np.int64), 3, axis=1)
            beats = {
                "acc": acc,
                "r": np.tile(found["r"], (width, 1)),
                "n": np.tile(found["n"], (width, 1)),
                "shift": shift,
                "last": np.zeros(width),
            }
            y = Simulation(division, division.key).run({"i": beats}, {"o": width}).outputs["o"]["y"]
            want = expected[group * 3 : group * 3 + 3, head * width : (head + 1) * width]
            assert (want == y.T).all()


@pytest.mark.slow
@pytest.mark.parametrize("module", [Reciprocal(), *DIVISIONS], ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000


@pytest.mark.slow
def test_every_sum_up_to_a_hundred_thousand():
    module = Reciprocal()
    total = np.arange(1, 100_001)
    run = Simulation(module, module.key).run({"i": {"total": total}}, {"o": len(total)}, stall=0.1)
    want = module.compute({"i": {"total": total}})["o"]
    assert (run.outputs["o"]["r"] == want["r"]).all()
    assert (run.outputs["o"]["n"] == want["n"]).all()
