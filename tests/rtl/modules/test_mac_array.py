import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.numerics import Linear, Scores
from p2vit.rtl.modules.array import column_marks, joined
from p2vit.rtl.modules.mac_array import MacArray, pack_weights
from p2vit.rtl.simulate import Simulation
from support.rtl_checking import check

CONFIGURATIONS = [
    MacArray(3, 5, depth=3),
    MacArray(1, 1, depth=1),
    MacArray(4, 8, depth=6, codes=False),
    MacArray(7, 3, depth=2),
    MacArray(2, 16, depth=24),
    MacArray(20, 64, depth=3),
]


def test_columns_are_sums_of_products():
    check(CONFIGURATIONS[0], 20_000, icarus=300)


def linear_through(module, layer, x):
    """int32 accumulators of a linear, [tokens, outputs], and the run."""
    columns = pack_weights(layer.weight, layer.weight_bits, module.lanes)
    wide = 2 if layer.weight_bits <= 4 else 1
    steps = columns.shape[1]
    bias = np.zeros((len(columns), 2), np.int64)
    bias.ravel()[: len(layer.bias)] = layer.bias if wide == 2 else 0
    if wide == 1:
        bias[:, 0] = layer.bias
    rows, weights = [], []
    tokens = -(-len(x) // module.lines) * module.lines
    padded = np.zeros((tokens, steps * module.lanes), np.int64)
    padded[: len(x), : x.shape[1]] = x
    for group in padded.reshape(-1, module.lines, steps, module.lanes):
        rows.append(module.row_sample(group & 255))
        count = len(columns) * steps
        weights.append(
            {
                "w": columns.reshape(count, module.lanes),
                "bias": np.repeat(bias, steps, axis=0),
                "narrow": np.full(count, wide - 1),
                **column_marks(len(columns), steps),
            }
        )
    groups = len(rows)
    run = Simulation(module, module.key).run(
        {"rows": joined(rows), "weights": joined(weights)}, {"o": groups * len(columns)}
    )
    acc = run.outputs["o"]["acc"].reshape(groups, len(columns), 2, module.lines)[:, :, :wide]
    acc = acc.transpose(0, 3, 1, 2).reshape(tokens, -1)
    return acc[: len(x), : len(layer.bias)], run


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_a_linear_is_the_operators_own(bits):
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1))
    weight = rng.integers(low, high, (9, 13)).astype(np.int8)
    layer = Linear(weight, rng.integers(-9999, 9999, 9), np.zeros(9, np.int8), bits, 32)
    x = rng.integers(-128, 128, (7, 13))
    acc, run = linear_through(CONFIGURATIONS[0], layer, x)
    assert (acc == layer.compute(x[None].astype(np.int8))[0]).all()
    # ⌈M / lines⌉ · N · ⌈K / lanes⌉ beats, one per cycle once the first rows are there; two narrow columns at a time.
    columns = 9 if bits == 8 else 5
    moved = run.moved["weights"]
    assert len(moved) == 3 * columns * 3
    assert moved[-1] - moved[0] == len(moved) - 1
    assert run.moved["o"][-1] - moved[-1] == CONFIGURATIONS[0].timing.latency


def test_scores_are_queries_times_keys():
    rng = np.random.default_rng(0)
    q, k = rng.integers(-128, 128, (2, 1, 5, 8)).astype(np.int8)
    keys = Linear(k[0], np.zeros(5, np.int32), np.zeros(5, np.int8), 8, 32)
    acc, _ = linear_through(CONFIGURATIONS[0], keys, q[0])
    assert (acc == Scores(1, 8).compute(q, k)[0, 0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    beats = 100_000 if module.lines * module.lanes < 200 else 60_000
    # Of the widest arrays fewer beats, each of which compares a number per line.
    assert check(module, beats, seed=1, icarus=200) * module.lines >= 100_000
