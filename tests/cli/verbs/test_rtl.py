import json

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.files.record import RECORD
from support.rtl_programs import documented


def test_a_folder_with_modules_vectors_and_bench(p2vit, digits_program, tmp_path):
    folder = tmp_path / "rtl"
    answer = p2vit("rtl", digits_program, "--hw", "rtl-small", "--data", "digits", "-o", folder, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert "p2vit_accelerator" in [module["name"] for module in found["modules"]]
    assert all((folder / module["file"]).exists() for module in found["modules"])
    assert documented("rtl") == set(found)
    assert found["files"] == sum(path.is_file() and path.name != RECORD for path in folder.rglob("*"))
    assert json.loads((folder / "manifest.json").read_text())["program_sha256"] == found["program_sha256"]
    again = p2vit("rtl", digits_program, "--hw", "rtl-small", "-o", folder)
    assert again.code == 2
    assert "exists already" in again.err
    text = p2vit("rtl", digits_program, "--hw", "rtl-small", "-o", folder, "--overwrite")
    assert text.code == 0
    assert "next: make -C" in text.out


def test_no_place_and_no_machine(p2vit, digits_program, tmp_path):
    assert "Missing option '-o'" in p2vit("rtl", digits_program).err
    answer = p2vit("rtl", digits_program, "--set", "lines=1", "-o", tmp_path / "x")
    assert answer.code == 2
    assert "--set lines=1: lines must be a whole number from 2 to 64" in answer.err
    assert not (tmp_path / "x").exists()


def test_a_dry_run_compiles_and_writes_nothing(p2vit, digits_program, tmp_path):
    dry = p2vit("rtl", digits_program, "--hw", "rtl-small", "--dry-run", "--json").json
    assert dry["folder"] is None
    made = p2vit("rtl", digits_program, "--hw", "rtl-small", "-o", tmp_path / "x", "--json").json
    same = ("machine", "descriptors", "cycles", "program_sha256")
    assert [dry[key] for key in same] == [made[key] for key in same]
    assert dry["memory"]["words"] == made["memory"]["words"]
    refused = p2vit("rtl", digits_program, "--set", "lines=1", "--dry-run", "-o", tmp_path / "y")
    assert refused.code == 2
    assert not (tmp_path / "y").exists()


def test_the_chunk_machine_has_no_bundle_and_says_what_there_is(p2vit, digits_program, tmp_path):
    answer = p2vit("rtl", digits_program, "--hw", "chunk-small", "-o", tmp_path / "x")
    assert answer.code == 2
    assert "--hw chunk-small: no test bench is written for the chunk organisation yet" in answer.err
    assert "p2vit cosim OUT --hw chunk-small" in answer.err
    assert not (tmp_path / "x").exists()
