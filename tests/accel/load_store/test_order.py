from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.load_store.machines import RTL, machines, workloads
from p2vit.accel.dataflow import schedule
from p2vit.accel.load_store.order import RULES, Written, ordered
from p2vit.accel.load_store.units import Region, Unit
from p2vit.accel.resolve import workload_of


def placed(machine, workload):
    base, units = 0, []
    for section in schedule(machine, workload).sections:
        units += [(base, unit) for unit in section.units]
        base += len(section.operations)
    return units


@settings(deadline=None, max_examples=30)
@given(machines(), workloads(), st.sampled_from(RULES))
def test_nothing_is_lost_and_nobody_reads_too_early(machine, workload, rule):
    units = placed(machine, workload)
    order = ordered(units, rule, 2, int)
    assert Counter(map(id, (u for _, u in order))) == Counter(map(id, (u for _, u in units)))
    for engine in ("array", "vector"):
        kept = [(base, id(unit)) for base, unit in order if unit.engine == engine]
        assert kept == [(base, id(unit)) for base, unit in units if unit.engine == engine]
    written = Written(units)
    for base, unit in order:
        assert written.all_of(base, unit) is not None
        if unit.writes:
            written.write(base, unit.writes, 1)


def test_rows_flow():
    units = placed(RTL, workload_of("deit_tiny_patch16_224"))
    order = ordered(units, "loads", 2, int)
    engines = [unit.engine for base, unit in order if base == units[-1][0]]
    assert engines
    first_array = next(at for at, (base, unit) in enumerate(order) if base == 3 and unit.engine == "array")
    norms = sum(unit.operation == 0 for base, unit in order[:first_array] if base == 3)
    assert 1 <= norms < 13  # LayerNorm's later groups come behind the linear's first


@pytest.mark.parametrize("rule", RULES)
def test_a_region_is_written_when_all_its_columns_are(rule):
    def unit(first, end):
        return Unit(0, "array", (), 1, (), 0, (), (), 1, Region(0, 0, 0, first, end))

    units = [(0, unit(0, 64)), (0, unit(64, 100))]
    written = Written(units)
    written.write(0, Region(0, 0, 0, 0, 64), 7)
    assert written.when(0, Region(0, 0, 0, 32, 64)) == 7
    assert written.when(0, Region(0, 0, 0)) is None
    assert written.when(0, Region(0, 0, 0, 32, 96)) is None
    written.write(0, Region(0, 0, 0, 64, 100), 9)
    assert written.when(0, Region(0, 0, 0)) == 9
    assert written.when(0, Region(0, 0, 0, 0, 64)) == 7
    assert len(ordered(units, rule, 2, int)) == 2
