"""A small machine of the chunk organisation, and the random programs that fit it."""

from functools import cache

import numpy as np

from p2vit.hdl.chunks.compile.compiled import CompiledChunks
from p2vit.hdl.chunks.compile.compiler import compile_chunks
from p2vit.hdl.chunks.cosim.model import ChunkModel, ChunkRun
from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.cosim.model import MemoryBehaviour
from support.programs import random_pixels
from support.rtl_programs import PROGRAMS as ALL
from support.rtl_programs import expected, program

#: The smallest lines, and memories that hold every program below.
SMALL = ChunkMachine(
    lines=8, tokens=64, row_words=16, stream_words=512, norm_words=512, operand_words=1024, key_words=1024,
    score_words=512, code_words=512, fifo_words=64,
)  # fmt: skip
#: Programs whose heads are whole groups of lines and that select the class token.
PROGRAMS = tuple(name for name in ALL if name not in ("mean", "odd sizes"))


@cache
def model(machine: ChunkMachine = SMALL) -> ChunkModel:
    return ChunkModel(machine, "quick")


@cache
def compiled(name: str, machine: ChunkMachine = SMALL) -> CompiledChunks:
    return compile_chunks(program(name), machine)


def run(name: str, behaviour: MemoryBehaviour | None = None, machine: ChunkMachine = SMALL) -> ChunkRun:
    return model(machine).run(
        compiled(name, machine), random_pixels(program(name), 1)[0], behaviour, max_cycles=10**7
    )


def differing(name: str, found: ChunkRun, machine: ChunkMachine = SMALL) -> list[str]:
    """Return the layers whose output is not the program's, and ``logits`` if those in the memory are not."""
    done, want = compiled(name, machine), expected(name)
    got = done.tensors(found.traces)
    nodes = [
        node.name for node in program(name).nodes if not np.array_equal(got[node.name], want[node.name][0])
    ]
    logits = want[program(name).output].reshape(-1)
    return nodes + ([] if np.array_equal(found.logits[: logits.size], logits) else ["logits"])
