import json

import pytest

from p2vit.errors import P2vitError
from p2vit.files import RECORD
from p2vit.program.format import load, program_sha256
from p2vit.program.inspect import summarize
from p2vit.workflows.program_folder import FILES, SENSITIVITY_FILE, check_place, program_lines, write_program
from support.programs import random_program

BLOCKS = [
    {"name": "embedding", "local_sqnr_db": 41.5, "cumulative_sqnr_db": 41.5},
    {"name": "blocks.0", "local_sqnr_db": 30.25, "cumulative_sqnr_db": 29.0},
]
NOTES = {"bits": "w8a8", "method": "p2vit", "blocks": BLOCKS}


@pytest.fixture
def program():
    return random_program(depth=1)


def test_everything_is_written_and_told(program, tmp_path):
    folder = tmp_path / "deep" / "out"
    check_place(folder, overwrite=False)
    told = write_program(program, folder, overwrite=False, notes=NOTES)
    assert sorted(path.name for path in folder.iterdir()) == sorted((*FILES, RECORD))
    assert told["program_sha256"] == program_sha256(load(folder)) == program_sha256(program)
    assert told["output"] == str(folder)
    assert told["macs"] == summarize(program).macs
    sensitivity = json.loads((folder / SENSITIVITY_FILE).read_text())
    assert sensitivity == NOTES
    assert "| 29.00 dB, on the calibration photos |" in (folder / "README.md").read_text()
    text = "\n".join(program_lines(told))
    assert f"program_sha256 {told['program_sha256']}" in text
    assert "blocks.0     local  30.25 dB  cumulative  29.00 dB" in text


def test_same_program_same_bytes(program, tmp_path):
    for name in "ab":
        write_program(program, tmp_path / name, overwrite=False, notes=NOTES)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_is_there_is_refused_before_any_work(program, tmp_path):
    write_program(program, tmp_path / "out", overwrite=False, notes=NOTES)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    for place, overwrite, message in (
        ("out", False, "exists already; choose another place, or allow overwriting"),
        ("photos", True, "contains a.png, but no program that p2vit wrote, so nothing is written there"),
        ("photos/a.png", True, "exists and is not a folder"),
    ):
        with pytest.raises(P2vitError, match=message):
            check_place(tmp_path / place, overwrite)
    check_place(tmp_path / "out", overwrite=True)
