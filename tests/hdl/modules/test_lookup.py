import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.lookup import LookupUnit
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics import Lookup
from support.rtl_checking import check, check_streaming_time

TABLE = np.random.default_rng(5).integers(-128, 128, 256).astype(np.int8)
CONFIGURATIONS = [
    LookupUnit(3, groups=3),
    LookupUnit(1),
    LookupUnit(20),
    LookupUnit(7, groups=8),
    LookupUnit(5, table=TABLE),
    LookupUnit(2, groups=2, table=np.stack([TABLE, TABLE[::-1]])),
]


def test_tables_that_are_loaded():
    check(CONFIGURATIONS[0], 8000, icarus=600)


def test_a_fixed_table_is_the_operators_own():
    module = CONFIGURATIONS[4]
    check_streaming_time(module)
    x = np.arange(-128, 127).astype(np.int8)
    beats = {"x": x.reshape(-1, 5), "last": np.zeros(51)}
    run = ModuleSimulation(module, module.key).run({"i": beats}, {"o": 51}, stall=0.3)
    assert (run.outputs["o"]["y"].ravel() == Lookup(TABLE[None]).compute(x[None])[0]).all()


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="table has 255 entries; expected 256 for each of 1 groups"):
        LookupUnit(1, table=TABLE[1:])


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=2000) >= 100_000
