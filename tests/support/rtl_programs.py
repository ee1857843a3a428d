"""Small accelerators, random programs for them, and what both share."""

import re
from functools import cache
from pathlib import Path

import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.cosim.model import MemoryBehaviour, RtlModel, RtlRun
from p2vit.hdl.top.machine import RtlMachine
from p2vit.program.graph import IntegerProgram
from support.programs import random_pixels, random_program

_SMALL = {"row_rows": 24, "weight_rows": 40, "columns": 32, "vector_columns": 64, "table_groups": 1}
#: Odd on purpose: nothing divides anything. Its buffers are small, so that layers fall into tiles.
ODD = RtlMachine(lines=5, lanes=6, **_SMALL)
#: For the other simulator.
TINY = RtlMachine(lines=4, lanes=4, **_SMALL)
#: Every shape class: lines above and below lanes, fewer bytes per word than a parameter has, no shifters.
CONFIGURATIONS = [
    RtlMachine(lines=3, lanes=16, row_rows=8, weight_rows=16, columns=48, vector_columns=96, table_groups=1),
    RtlMachine(lines=12, lanes=4, **_SMALL),
    RtlMachine(lines=7, lanes=10, row_rows=10, weight_rows=21, columns=33, vector_columns=91, table_groups=3),
    RtlMachine(
        lines=2, lanes=2, row_rows=64, weight_rows=200, columns=16, vector_columns=128, table_groups=2
    ),
    RtlMachine(lines=20, lanes=12, **_SMALL),
    RtlMachine(lines=8, lanes=8, shifters=False, **_SMALL),
]

#: Programs by what is special about them.
PROGRAMS = {
    "linear": {},
    "log2": {"form": "log2"},
    "int4": {"weight_bits": 4, "mlp": 96},
    "mean": {"pool": "mean", "prefix": 0, "weight_bits": 3},
    "registers": {"prefix": 6, "image": (8, 16), "depth": 1},
    "odd sizes": {
        "image": (6, 6), "patch": 2, "dim": 44, "heads": 4, "mlp": 58, "classes": 67, "depth": 1, "form": "log2",
        "seed": 3,
    },
}  # fmt: skip


def documented(verb: str) -> set[str]:
    """Keys of a verb's JSON that docs/reference/cli.md names."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.split(f"\n## {verb}\n")[1].split("\n## ")[0], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


@cache
def program(name: str) -> IntegerProgram:
    return random_program(**PROGRAMS[name])


@cache
def model(machine: RtlMachine) -> RtlModel:
    return RtlModel(machine, "quick")


@cache
def compiled(name: str, machine: RtlMachine) -> CompiledProgram:
    return compile_program(program(name), machine)


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    nodes = [node.name for node in program(name).nodes]
    return ReferenceExecutor(program(name)).run(random_pixels(program(name), 1), keep=nodes)


def run(name: str, machine: RtlMachine, behaviour: MemoryBehaviour | None = None) -> RtlRun:
    return model(machine).run(compiled(name, machine), random_pixels(program(name), 1)[0], behaviour, 10**7)


def differing(name: str, machine: RtlMachine, found: RtlRun) -> list[str]:
    """Layers whose output is not the program's."""
    done = compiled(name, machine)
    return [
        node.name
        for node in program(name).nodes
        if not np.array_equal(done.tensor(found.memory, node.name), expected(name)[node.name][0])
    ]
