import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.requantize_float import FloatRequantizer
from support.rtl_checking import check, check_streaming_time

CONFIGURATIONS = [
    FloatRequantizer(3),
    FloatRequantizer(1, pipelined=False),
    FloatRequantizer(1),
    FloatRequantizer(5),
    FloatRequantizer(20),
    FloatRequantizer(2, pipelined=False),
]


def test_as_numpy_computes_in_float32():
    check(CONFIGURATIONS[0], 20_000, icarus=300)
    check_streaming_time(CONFIGURATIONS[0])


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
