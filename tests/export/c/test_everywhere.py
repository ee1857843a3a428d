"""`make everywhere` on small programs: each processor that this machine can reach, most of them emulated."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from conformance.cases import TABLE
from p2vit.numerics import Multiply, Rotary
from support.programs import random_pixels, random_program, windowed_program

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "scripts" / "everywhere"))
targets = importlib.import_module("targets")
programs = importlib.import_module("programs")

pytestmark = pytest.mark.extended

PROGRAMS = {
    "W4 log2, odd sizes": lambda: random_program(
        weight_bits=4, form="log2", image=(20, 28), dim=45, heads=3, mlp=37, classes=1
    ),
    "rows of 32": lambda: random_program(dim=32, heads=2, mlp=64),
    "windows": lambda: windowed_program(),
    "rotary": lambda: TABLE[Rotary].program(),
    "multiply": lambda: TABLE[Multiply].program(),
}


def subject(name, folder):
    program = PROGRAMS[name]()
    shape = (1, *program.pixels.shape)
    ends = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    return programs.Subject(name, program, np.concatenate([random_pixels(program, 1), *ends]), folder, 3)


def run(processor, name, folder):
    """Bytes compared and bytes that differ, of every tensor of three photos."""
    target = targets.PROCESSORS[processor]
    if (missing := target.missing()) is not None:
        pytest.skip(f"this machine lacks {missing}; `make everywhere` installs it")
    made = subject(name, folder)
    place = made.write_c()
    program = target.build(place, made.traced)
    (place / "photos.bin").write_bytes(made.pixels.tobytes())
    target.run(program)
    return made, target, program


#: One program on every processor; all of them on a big-endian one, a small one, and with plain C only.
PAIRS = [(processor, "rows of 32") for processor in targets.PROCESSORS] + [
    (processor, name)
    for processor in ("s390x", "cortex-m4", "x86-64-portable")
    for name in PROGRAMS
    if name != "rows of 32"
]


@pytest.mark.parametrize(("processor", "name"), PAIRS)
def test_every_byte_of_every_tensor(processor, name, tmp_path):
    made, _, _ = run(processor, name, tmp_path)
    found = made.compare(*made.parse((made.folder / "c" / "integers.bin").read_bytes(), 3))
    sizes = [
        made.program.tensors[step].dtype.itemsize * np.prod(made.program.tensors[step].shape)
        for step in made.steps
    ]
    assert found.photos == 3
    assert found.compared >= 3 * sum(sizes)
    assert found.differing == 0


def test_one_wrong_integer_is_counted(tmp_path):
    made, _, _ = run("x86-64", "rows of 32", tmp_path)
    written = bytearray((made.folder / "c" / "integers.bin").read_bytes())
    written[400] ^= 1
    assert made.compare(*made.parse(bytes(written), 3)).differing == 1


def test_memory_of_a_microcontroller(tmp_path):
    made, target, program = run("cortex-m4", "rows of 32", tmp_path)
    flash, ram = target.sizes(program)
    weights = sum(
        node.operator.weight.size for node in made.program.nodes if hasattr(node.operator, "weight")
    )
    assert weights < flash <= 350 << 10
    assert made.plan.arena_bytes < ram <= 64 << 10
