import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.rotary import RotaryUnit
from support.rtl_checking import check, check_streaming_time

FIRST = RotaryUnit(4, output_bits=16)
CONFIGURATIONS = [
    FIRST,
    *(RotaryUnit(*a, output_bits=b) for a, b in (((2,), 8), ((20,), 8), ((6,), 16), ((8,), 8), ((2,), 16))),
]


def test_elements_as_the_reference_has_them():
    check(FIRST, 5000, icarus=300)


def test_one_beat_per_cycle():
    check_streaming_time(FIRST)


def test_a_pair_takes_two_lanes():
    with pytest.raises(ValueError, match="lanes is 3; a pair of channels takes two"):
        RotaryUnit(3)


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
