from p2vit.hdl.compile.emitter import Emitter, Region
from p2vit.hdl.top.descriptor import Kind
from support.rtl_programs import ODD


def test_a_unit_ends_with_its_store_or_with_a_run_that_stores_nothing():
    emit = Emitter(ODD)
    emit.node = "a"
    emit.load([Region("x", 0, 0), Region("", 0, 0)], inner=4)
    emit.load(inner=2)
    emit.array(columns=3)
    emit.store(Region("a", 0, 0, 0, 3), columns=3)
    emit.node = "sum"
    emit.load(inner=1)
    emit.vector(count=1)
    emit.load(inner=1)
    emit.vector(count=2)
    emit.store(Region("sum", 0, 0, 0, 2), columns=2)
    first, second, third = emit.jobs
    assert (first.node, first.engine, len(first.loads)) == ("a", Kind.ARRAY, 2)
    assert first.loads[0] == ({"outer": 1, "inner": 4}, (Region("x", 0, 0),))
    assert (second.store, second.run) == (None, {"count": 1})
    assert third.store == {"columns": 2}
    assert third.engine == Kind.VECTOR
