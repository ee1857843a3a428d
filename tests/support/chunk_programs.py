"""A small machine of the chunk organisation, and the random programs that fit it."""

from dataclasses import replace
from functools import cache

import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.chunks.compile.compiled import CompiledChunks
from p2vit.hdl.chunks.compile.compiler import compile_chunks
from p2vit.hdl.chunks.cosim.model import ChunkModel, ChunkRun
from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.program.graph import IntegerProgram
from support.programs import random_pixels, random_program
from support.rtl_programs import PROGRAMS as ALL

#: The smallest lines, and memories that hold every program below.
SMALL = ChunkMachine(
    lines=8, tokens=64, row_words=16, stream_words=512, norm_words=512, operand_words=1024, key_words=1024,
    score_words=1024, code_words=1024, fifo_words=64,
)  # fmt: skip
#: Programs by what is special about them: heads are whole groups of lines, and the class token is selected.
PROGRAMS = {
    **{name: ALL[name] for name in ("linear", "int4", "registers")},
    "log2, odd tokens": {
        "image": (16, 24), "dim": 48, "heads": 3, "mlp": 64, "weight_bits": 4, "prefix": 3, "seed": 5, "form": "log2",
    },
    "log2, even tokens": {
        "image": (24, 24), "dim": 64, "heads": 4, "mlp": 32, "prefix": 4, "seed": 7, "form": "log2", "depth": 1,
    },
    "no prefix": {"image": (28, 24), "dim": 48, "heads": 3, "mlp": 64, "prefix": 0, "seed": 9, "depth": 1},
    "single groups": {
        "image": (28, 24), "dim": 40, "heads": 5, "mlp": 96, "weight_bits": 4, "seed": 9, "depth": 1,
    },
}  # fmt: skip
#: The same machine, whose array does not wait for the LayerNorm.
TILED = replace(SMALL, token_tiles=2)


@cache
def program(name: str) -> IntegerProgram:
    return random_program(**PROGRAMS[name])


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    nodes = [node.name for node in program(name).nodes]
    return ReferenceExecutor(program(name)).run(random_pixels(program(name), 1), keep=nodes)


@cache
def model(machine: ChunkMachine = SMALL) -> ChunkModel:
    # The tiles are the compiler's affair; the hardware is the same.
    return (
        ChunkModel(machine, "quick") if machine.token_tiles == 1 else model(replace(machine, token_tiles=1))
    )


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
