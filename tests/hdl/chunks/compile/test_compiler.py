from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.chunks.compile.compiler import compile_chunks
from p2vit.hdl.chunks.compile.placing import ARRAY_PLACES, NORM_PLACES
from p2vit.hdl.chunks.top import line, norm
from p2vit.hdl.chunks.top.descriptor import Kind
from p2vit.hdl.compile.errors import UnfitProgramError
from support.chunk_programs import PROGRAMS, SMALL, TILED, compiled, program
from support.rtl_programs import program as other_program


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mean", r"pool: no chunk executes SumTokens after .*use the load-store machines \('--hw rtl'\)"),
        (
            "log2",
            "it has 7 keys, and log2 codes need more than 8, the number of lines; use fewer lines, or quantize",
        ),
        ("odd sizes", "a head has 11 channels, which are no whole groups of 8; use fewer lines"),
    ],
)
def test_a_program_that_does_not_fit_is_refused_by_name_with_the_lever(name, text):
    with pytest.raises(UnfitProgramError, match=text):
        compile_chunks(other_program(name), SMALL)


@pytest.mark.parametrize(
    "size",
    [
        "tokens",
        "row_words",
        "stream_words",
        "norm_words",
        "operand_words",
        "key_words",
        "score_words",
        "code_words",
    ],
)
def test_a_size_that_is_too_small_names_one_that_helps(size):
    """Raising the named size step by step ends with a machine that holds the program."""
    machine = replace(SMALL, **{size: 8 if size != "row_words" else 2})
    for _ in range(20):
        refusal = refused(machine)
        if not refusal:
            break
        words = refusal.split(f"raise {size} to ")
        assert len(words) == 2, refusal
        larger = int(words[1].split(" ")[0])
        assert larger > getattr(machine, size)
        machine = replace(machine, **{size: larger})
    else:
        pytest.fail("the levers never end")


def refused(machine):
    """Return the message with which a machine refuses a program; empty if it holds it."""
    try:
        compile_chunks(program("linear"), machine)
    except UnfitProgramError as error:
        return str(error)
    return ""


def test_the_hardware_decodes_what_the_compiler_packs():
    assert {name: (width, at) for name, width, at in line.PARAMETERS} == ARRAY_PLACES
    assert norm.PARAMETERS == NORM_PLACES
    for places in (ARRAY_PLACES, NORM_PLACES):
        bits = [bit for width, at in places.values() for bit in range(at, at + width)]
        assert len(bits) == len(set(bits))
        assert max(bits) < 64


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_gives_the_same_bytes(name):
    again = compile_chunks(program(name), SMALL)
    assert again.stream == compiled(name).stream
    assert np.array_equal(again.image, compiled(name).image)


@pytest.mark.parametrize("machine", [SMALL, TILED], ids=["whole", "tiled"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_tensor_is_traced_completely(name, machine):
    done = compiled(name, machine)
    assert done.descriptors[-1].kind == Kind.END
    sizes = dict.fromkeys(done.program.tensors, 0)
    seen = set()
    for part in done.parts:
        key = (part.node, part.head, part.first_row, part.first_channel)
        if key not in seen:
            seen.add(key)
            sizes[part.node] += part.rows * part.channels
    for node in done.program.nodes:
        constant = done.constant_rows.get(node.name, np.zeros(0)).size
        if node.name not in done.aliases:
            assert sizes[node.name] + constant == np.prod(done.program.tensors[node.name].shape), node.name
