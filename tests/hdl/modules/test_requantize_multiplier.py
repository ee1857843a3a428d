import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.requantize_multiplier import MultiplierRequantizer
from support.rtl_checking import check, check_streaming_time

CONFIGURATIONS = [
    MultiplierRequantizer(3, bits=16),
    MultiplierRequantizer(1, bits=8),
    MultiplierRequantizer(1, bits=32),
    MultiplierRequantizer(7, bits=32, pipelined=True),
    MultiplierRequantizer(20, bits=8),
    MultiplierRequantizer(5, bits=11),
]


def test_products_round_once():
    check(CONFIGURATIONS[0], 10_000, icarus=300)
    check_streaming_time(CONFIGURATIONS[0])


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
