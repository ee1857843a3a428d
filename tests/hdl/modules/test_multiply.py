import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.multiply import MultiplyUnit
from support.rtl_checking import check, check_streaming_time

FIRST = MultiplyUnit(3, output_bits=16)
CONFIGURATIONS = [
    FIRST,
    *(MultiplyUnit(*a, output_bits=b) for a, b in (((1,), 8), ((20,), 8), ((7,), 16), ((5,), 8), ((2,), 16))),
]


def test_elements_as_the_reference_has_them():
    check(FIRST, 5000, icarus=300)


def test_one_beat_per_cycle():
    check_streaming_time(FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
