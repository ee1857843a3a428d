"""An operator has the same file name wherever it lives."""

import subprocess
from pathlib import Path

import pytest

from p2vit.numerics import OPERATORS

ROOT = Path(__file__).parent.parent
ROOMS = {
    "numerics": "src/p2vit/numerics",
    "torch": "src/p2vit/engine/torch/kernels",
    "C++": "src/p2vit/engine/native/src",
    "ONNX integer": "src/p2vit/export/onnx/integer",
    "ONNX qdq": "src/p2vit/export/onnx/qdq",
    "RTL": "src/p2vit/hdl/modules",
    "tests": "tests/numerics",
}
#: Files of the operators, and re-quantization, which is part of most of them.
NAMES = sorted({operator.__module__.rpartition(".")[2] for operator in OPERATORS.values()} | {"requantize"})
#: Where an operator has no file of its own, and what does its work there; None: nothing does yet.
ELSEWHERE = {
    ("RTL", "linear"): "src/p2vit/hdl/modules/mac_array.py",
    ("RTL", "scores"): "src/p2vit/hdl/modules/mac_array.py",
    ("RTL", "score_bias"): None,
    ("RTL", "gather"): None,
}
#: What people look for first; these have a room everywhere.
EVERYWHERE = {"softmax", "layernorm", "lookup", "requantize", "attention_values"}


def stems(folder: str) -> set[str]:
    """Names of the files of a room, without suffix, and without the ``test_`` of tests."""
    return {path.stem.removeprefix("test_") for path in (ROOT / folder).iterdir() if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("room", ROOMS)
def test_an_operator_has_a_file_of_its_name_in_every_room(room, name):
    found = name in stems(ROOMS[room])
    if (room, name) in ELSEWHERE:
        assert not found, "the list of exceptions is out of date"
        assert name not in EVERYWHERE
        instead = ELSEWHERE[room, name]
        assert instead is None or (ROOT / instead).is_file()
    else:
        assert found, f"{ROOMS[room]} has no {name}"


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
def test_a_search_by_name_lists_the_rooms(name):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    folders = {line.rpartition("/")[0] for line in listed.stdout.splitlines() if name in line}
    assert folders >= {folder for room, folder in ROOMS.items() if (room, name) not in ELSEWHERE}


def test_every_name_is_an_operators():
    assert {name for _, name in ELSEWHERE} | EVERYWHERE <= set(NAMES)
    assert {room for room, _ in ELSEWHERE} <= set(ROOMS)
