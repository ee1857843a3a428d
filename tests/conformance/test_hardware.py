"""Every operator that has a hardware module: the module's integers."""

import numpy as np
import pytest

pytest.importorskip("amaranth")

from conformance.cases import TABLE
from p2vit.engine.reference import ReferenceExecutor
from support.rtl_operators import DRIVERS, through

IN_HARDWARE = [kind for kind, row in TABLE.items() if row.hardware]
#: Operators of a row that go through their module each time; all of them in the slow tests.
FEW = 8


def test_every_operator_has_a_driver_or_a_reason():
    for kind, row in TABLE.items():
        assert bool(row.hardware) != bool(row.without), kind.__name__
    assert {row.hardware for row in TABLE.values()} - {""} == set(DRIVERS)


def compared(kind, seed, most):
    """How many operators of a row went through their module; each must be right."""
    program = TABLE[kind].program(seed)
    nodes = list(program.of_kind(kind))
    names = [node.name for node in program.nodes]
    pixels = np.zeros((1, *program.pixels.shape), np.uint8)
    tensors = ReferenceExecutor(program).run(pixels, names)
    done = 0
    for at in np.random.default_rng(seed).permutation(len(nodes)):
        node = nodes[at]
        got = through(TABLE[kind].hardware, node.operator, *(tensors[name][0] for name in node.inputs))
        if got is None:
            continue
        assert np.array_equal(got, tensors[node.name][0]), node.name
        done += 1
        if done == most:
            break
    return done


@pytest.mark.parametrize("kind", IN_HARDWARE, ids=lambda kind: kind.__name__)
def test_modules(kind):
    assert compared(kind, 0, FEW) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("kind", IN_HARDWARE, ids=lambda kind: kind.__name__)
def test_all_that_fit(kind, seed):
    assert compared(kind, seed, 0) >= 3
