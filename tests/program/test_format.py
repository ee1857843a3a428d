import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from p2vit.files import RECORD
from p2vit.numerics import Linear, Patchify
from p2vit.program.format import GRAPH_FILE, TENSOR_FILE, load, program_sha256, save
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from support.forging import SMALL
from support.programs import random_pixels, random_program


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_bits": 4, "form": "log2"},
        {"weight_bits": 3, "dim": 9, "heads": 3, "pool": "mean", "prefix": 0},
    ],
)
def test_what_is_loaded_computes_the_same(tmp_path, options):
    program = random_program(**{**SMALL, **options})
    save(program, tmp_path / "a" / "b")
    again = load(tmp_path / "a" / "b")
    assert program_sha256(again) == program_sha256(program)
    pixels = random_pixels(program, 3)
    names = [node.name for node in program.nodes]
    first, second = (ReferenceExecutor(p).run(pixels, names) for p in (program, again))
    assert all(np.array_equal(first[name], second[name]) for name in names)
    assert again.preprocessing == program.preprocessing
    assert again.provenance == program.provenance


def test_bytes_are_deterministic_and_weights_are_packed(tmp_path):
    for name in "ab":
        save(random_program(**SMALL, weight_bits=4), tmp_path / name)
    for file in (GRAPH_FILE, TENSOR_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    arrays = safetensors.numpy.load((tmp_path / "a" / TENSOR_FILE).read_bytes())
    assert arrays["blocks.0.mlp.fc2/weight"].shape == (6, 4)  # 7 inputs
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [RECORD, GRAPH_FILE, TENSOR_FILE]


def test_the_hash_of_a_program_stays_what_it_was():
    # Hashes are quoted in results/, in reports and in exported files: a new version of the files must not change one.
    builder = ProgramBuilder((4, 4, 3))
    builder.add("patches", Patchify(4), [PIXELS], 0, 128)
    weight = np.arange(96).reshape(2, 48) % 255 - 127
    linear = Linear(weight, np.array([5, -7]), np.array([3, 4]), output_bits=16)
    builder.add("head", linear, ["patches"], np.array([3, 4]))
    program = IntegerProgram(
        tuple(builder.nodes), builder.tensors, "head", "patches", Preprocessing(image_size=(4, 4))
    )
    assert program_sha256(program) == "3787a22a4c04a10015eed97d6337b91125108f95faefb21e59ebacb009af24a8"


def test_hash_counts_integers_and_not_provenance():
    program = random_program(**SMALL)
    other = dataclasses.replace(program, provenance={"seconds": 3.5, "machine": "x"})
    assert program_sha256(other) == program_sha256(program)
    assert program_sha256(dataclasses.replace(program, classes=("a", "b", "c"))) != program_sha256(program)
    assert program_sha256(random_program(**SMALL, seed=1)) != program_sha256(program)
    preprocessing = program.preprocessing.model_copy(update={"interpolation": "bicubic"})
    assert program_sha256(dataclasses.replace(program, preprocessing=preprocessing)) != program_sha256(
        program
    )


def test_existing_folders_are_kept(tmp_path):
    program = random_program(**SMALL)
    place = tmp_path / "p"
    save(program, place)
    with pytest.raises(ProgramError, match=r"p: exists already; choose another place, or allow overwriting"):
        save(program, place)
    other = random_program(**SMALL, seed=1)
    save(other, place, overwrite=True)
    assert program_sha256(load(place)) == program_sha256(other)
    assert os.listdir(tmp_path) == ["p"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(b"1")
    with pytest.raises(
        ProgramError, match=r"contains x.png, but no program that p2vit wrote, so nothing is written there"
    ):
        save(program, tmp_path / "photos", overwrite=True)
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(ProgramError, match="exists and is not a folder"):
        save(program, tmp_path / "file", overwrite=True)


def test_a_failing_disk_leaves_the_old_program(tmp_path, monkeypatch):
    program = random_program(**SMALL)
    save(program, tmp_path / "p")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProgramError, match="cannot be written: No space left"):
        save(random_program(**SMALL, seed=1), tmp_path / "p", overwrite=True)
    assert program_sha256(load(tmp_path / "p")) == program_sha256(program)
    assert os.listdir(tmp_path) == ["p"]


def test_a_killed_save_leaves_no_program(tmp_path):
    script = (
        "import os, sys\n"
        "from support.programs import random_program\n"
        "from p2vit.program.format import save\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "save(random_program(image=(4, 4), patch=2, dim=6, depth=1, heads=2, mlp=7), sys.argv[1])\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "p")],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 9
    assert not (tmp_path / "p").exists()


def test_an_unsound_program_is_not_saved(tmp_path):
    program = random_program(**SMALL)
    with pytest.raises(ProgramError, match="there are 2 classes; the output has 3 numbers"):
        save(dataclasses.replace(program, classes=("a", "b")), tmp_path / "p")
    with pytest.raises(ProgramError, match="cannot be written as JSON"):
        save(dataclasses.replace(program, provenance={"loss": float("nan")}), tmp_path / "p")
    with pytest.raises(ProgramError, match="cannot be written as JSON"):
        save(dataclasses.replace(program, provenance={"path": tmp_path}), tmp_path / "p")
    assert os.listdir(tmp_path) == []


def test_missing_and_foreign_places(tmp_path):
    with pytest.raises(ProgramError, match="nowhere: does not exist; a program is a folder with"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ProgramError, match="is not a folder"):
        load(tmp_path / "file")
    with pytest.raises(ProgramError, match=r"program.json: is missing or not a plain file"):
        load(tmp_path)
    save(random_program(**SMALL), tmp_path / "p")
    (tmp_path / "p" / TENSOR_FILE).unlink()
    with pytest.raises(ProgramError, match=r"tensors.safetensors: is missing"):
        load(tmp_path / "p")
    os.mkfifo(tmp_path / "p" / TENSOR_FILE)
    with pytest.raises(ProgramError, match="not a plain file"):
        load(tmp_path / "p")


def test_absurd_sizes_are_not_read(tmp_path):
    save(random_program(**SMALL), tmp_path / "p")
    with (tmp_path / "p" / GRAPH_FILE).open("ab") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ProgramError, match="bytes; allowed are up to"):
        load(tmp_path / "p")


def test_tensors_of_another_program(tmp_path):
    for seed in (0, 1):
        save(random_program(**SMALL, seed=seed), tmp_path / str(seed))
    shutil.copy(tmp_path / "0" / TENSOR_FILE, tmp_path / "1" / TENSOR_FILE)
    with pytest.raises(
        ProgramError, match=r"tensors.safetensors: its sha256 is not the one that program.json"
    ):
        load(tmp_path / "1")


def test_weights_of_eight_bits_are_not_copied_and_packed_ones_leave_the_file(tmp_path):
    for bits in (8, 4):
        save(random_program(**SMALL, weight_bits=bits), tmp_path / str(bits))
    held = {}
    for bits in (8, 4):
        array = load(tmp_path / str(bits)).node("blocks.0.add1").operator.shift
        while isinstance(array, np.ndarray):
            array = array.base
        held[bits] = array
    assert held[8] == (tmp_path / "8" / TENSOR_FILE).read_bytes()
    assert held[4] is None
