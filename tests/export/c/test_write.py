"""C exports of every kind of program: compiled strictly, run under sanitizers, equal to the reference."""

import shutil
import subprocess

import numpy as np
import pytest

from conformance.cases import TABLE
from p2vit.bench.programs import RandomProgram
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.c.compile import count_differences
from p2vit.export.c.write import build_c, write_c
from p2vit.numerics import Add, Affine, Lookup, Multiply, Rotary
from support.families import family_program
from support.programs import WINDOWED, random_pixels, random_program, windowed_program
from support.tiers import extended

compiler = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(compiler is None, reason="no C compiler")

PLAIN = {
    "plain": {},
    "log2": {"form": "log2"},
    "W4": {"weight_bits": 4},
    "W3 log2 registers": {"weight_bits": 3, "form": "log2", "prefix": 5},
    "mean of odd sizes": {
        "pool": "mean",
        "prefix": 0,
        "image": (12, 4),
        "patch": 2,
        "dim": 21,
        "heads": 7,
        "mlp": 13,
    },
    "one output": {
        "image": (20, 28),
        "dim": 45,
        "heads": 3,
        "mlp": 37,
        "prefix": 2,
        "classes": 1,
        "weight_bits": 4,
    },
}
PROGRAMS = {name: (random_program, sizes) for name, sizes in PLAIN.items()}
PROGRAMS |= (
    {f"windows {name}": (windowed_program, sizes) for name, sizes in WINDOWED.items()}
    if isinstance(WINDOWED, dict)
    else {f"windows {place}": (windowed_program, sizes) for place, sizes in enumerate(WINDOWED)}
)
#: Rows of the table of operators, and families that have operators of their own.
PROGRAMS |= {
    f"operator {kind.__name__}": (TABLE[kind].program, {}) for kind in (Add, Affine, Lookup, Multiply, Rotary)
}
PROGRAMS |= {family: (family_program, {"family": family}) for family in ("DINOv3", "EVA-02")}
#: The others are further shapes of the same operators.
QUICK = ["W3 log2 registers", "EVA-02"]
#: Warnings are errors; the address and undefined-behaviour sanitizers stop the program.
STRICT = "-O1 -Werror -pedantic -fsanitize=address,undefined -fno-sanitize-recover=all"


@pytest.fixture(scope="module")
def exports():
    made = {}

    def make(name):
        if name not in made:
            build, sizes = PROGRAMS[name]
            program = build(**sizes)
            pixels = np.concatenate([random_pixels(program, 2), *_extremes(program)])
            made[name] = build_c(program, pixels, ReferenceExecutor(program))
        return made[name]

    return make


def _extremes(program):
    shape = (1, *program.pixels.shape)
    return np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)


@needs_compiler
@pytest.mark.parametrize("name", extended(PROGRAMS, quick=QUICK))
def test_the_same_integers_without_a_warning(exports, name, tmp_path):
    write_c(exports(name), tmp_path / "c")
    command = ["make", "-s", "check", f"CC={compiler}", f"CFLAGS={STRICT}"]
    done = subprocess.run(command, cwd=tmp_path / "c", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 photos" in done.stdout
    assert " 0 differ" in done.stdout


@needs_compiler
def test_the_check_sees_one_wrong_weight_and_names_the_step(exports):
    export = exports("plain")
    wrong = dict(export.files)
    text = wrong["weights.c"].decode()
    head, _, numbers = text.partition("{\n    ")
    first, _, rest = numbers.partition(",")
    wrong["weights.c"] = f"{head}{{\n    {int(first) ^ 64},{rest}".encode()
    broken = type(export)(export.plan, wrong, export.weight_bytes, export.constant_bytes)
    assert count_differences(export) == 0
    assert count_differences(broken) > 0


@needs_compiler
def test_weights_in_a_file_of_their_own(tmp_path):
    program = random_program(weight_bits=4)
    pixels = random_pixels(program, 2)
    export = build_c(program, pixels, ReferenceExecutor(program), weights="binary")
    write_c(export, tmp_path / "c")
    assert (tmp_path / "c" / "weights.bin").stat().st_size == export.weight_bytes
    done = subprocess.run(
        ["make", "-s", "check"], cwd=tmp_path / "c", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_float_no_heap_no_64_bit(exports):
    for name, content in exports("log2").files.items():
        if name.endswith((".c", ".h")) and name != "check.c":
            words = set(content.decode().replace("(", " ").replace("*", " ").split())
            assert not words & {"float", "double", "malloc", "free", "int64_t", "uint64_t", "long"}, name


def test_the_same_bytes_every_time():
    program = random_program(weight_bits=4)
    pixels = random_pixels(program, 1)
    first, second = (build_c(program, pixels, ReferenceExecutor(program)).files for _ in range(2))
    assert first == second


def test_a_folder_with_something_in_it_is_kept(exports, tmp_path):
    (tmp_path / "mine.c").write_text("int x;")
    with pytest.raises(P2vitError, match=r"contains mine\.c"):
        write_c(exports("plain"), tmp_path, overwrite=True)
    assert (tmp_path / "mine.c").read_text() == "int x;"


def test_a_compiler_that_is_none(exports, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(P2vitError, match="Set the variable CC to another C compiler"):
        count_differences(exports("plain"))


def test_scores_that_somebody_else_reads_are_refused():
    program = RandomProgram(depth=1).make() if hasattr(RandomProgram, "make") else random_program(depth=1)
    scores = next(node.name for node in program.nodes if type(node.operator).__name__ == "Softmax")
    other = type(program)(program.nodes, program.tensors, scores, scores, program.preprocessing)
    with pytest.raises(P2vitError, match="nothing but the attention itself may read them"):
        build_c(other, random_pixels(other, 1), ReferenceExecutor(other))
