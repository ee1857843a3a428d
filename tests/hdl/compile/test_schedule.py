import pytest

from p2vit.hdl.compile.emitter import DescriptorJob, Region
from p2vit.hdl.compile.schedule import RULES, WrittenRegions, descriptors, merged
from p2vit.hdl.top.descriptor import Kind, VectorOp


def job(engine: Kind, name: str, group: int, reads: str = "") -> DescriptorJob:
    load = {"inner": 10, "outer": 1}
    run = {"columns": 10, "chunks": 3, "count": 10, "op": VectorOp.ADD}
    regions = (Region(reads, 0, group),) if reads else ()
    return DescriptorJob(
        name, engine, [(load, regions)], run, {"columns": 10, "planes": 1}, Region(name, 0, group, 0, 10)
    )


@pytest.mark.parametrize("rule", RULES)
def test_rows_flow_and_each_engine_keeps_its_order(rule):
    norms = [job(Kind.VECTOR, "norm", group) for group in range(5)]
    linears = [job(Kind.ARRAY, "linear", group, "norm") for group in range(5)]
    adds = [job(Kind.VECTOR, "add", group, "linear") for group in range(5)]
    order = merged([*norms, *linears, *adds], 8, rule)
    assert [u for u in order if u.engine == Kind.ARRAY] == linears
    assert [u for u in order if u.engine == Kind.VECTOR] == [*norms, *adds]
    assert order.index(linears[0]) < order.index(norms[4])
    for group in range(5):
        assert order.index(norms[group]) < order.index(linears[group]) < order.index(adds[group])


def test_a_load_waits_for_the_last_store_into_what_it_reads():
    jobs = [job(Kind.ARRAY, "a", 0), job(Kind.ARRAY, "a", 1), job(Kind.VECTOR, "b", 0, "a")]
    stream = descriptors(jobs)
    loads = [d for d in stream if d.kind == Kind.LOAD]
    assert [d["after"] for d in loads] == [0, 0, 1]
    assert stream[-1].kind == Kind.END
    assert stream[-1]["after"] == 3


def test_columns_are_waited_for_one_by_one():
    written = WrittenRegions()
    whole = Region("x", 0, 0)
    for first in (0, 10):
        written.expect(Region("x", 0, 0, first, first + 10))
    assert written.after(whole) is None
    written.write(Region("x", 0, 0, 0, 10), 4)
    assert written.after(Region("x", 0, 0, 0, 10)) == 4
    assert written.after(Region("x", 0, 0, 5, 15)) is None
    assert written.after(whole) is None
    written.write(Region("x", 0, 0, 10, 20), 6)
    assert written.after(whole) == 6
    assert written.after(Region("x", 0, 0, 5, 8)) == 4
    assert written.after(Region("constant", 0, 0)) == 0
