"""Outputs of older releases: programs without provenance keys run; a record of another version is refused clearly."""

import json
from dataclasses import replace

import pytest

from p2vit.files.record import RECORD
from p2vit.program.format import save
from support.programs import random_program
from support.tiers import extended

PROVENANCE = {
    "source": "random integers",
    "architecture": "odd",
    "p2vit": "0.0.9",
    "weights_sha256": "0" * 64,
    "calibration": {"source": "noise", "photos": 4, "seed": 0},
    "method": {"weight_bits": 8},
    "load": {},
    "checked": {"library": "timm 1", "difference": 0.0, "photos": 2, "pixels": True},
    "preprocessing_from": "timm",
    "torch": "2",
    "cpu_capability": "AVX2",
}
SMALL = {"image": (16, 16), "patch": 8, "dim": 16, "heads": 2, "mlp": 32, "depth": 1}


@pytest.mark.parametrize("gone", [*PROVENANCE, "everything"])
def test_a_program_without_a_provenance_key(p2vit, tmp_path, gone):
    told = {} if gone == "everything" else {key: value for key, value in PROVENANCE.items() if key != gone}
    save(replace(random_program(**SMALL), provenance=told), tmp_path / "p")
    words = (tmp_path / "p", "--data", "noise", "--limit", 2)
    for verb in (
        ("inspect", tmp_path / "p"),
        ("audit", tmp_path / "p"),
        ("eval", *words, "--no-float", "--csv", tmp_path / "rows.csv"),
        ("report", tmp_path / "p", "-o", tmp_path / "r.html"),
    ):
        assert p2vit(*verb).code == 0, verb
    answer = p2vit("eval", *words)
    assert answer.code == 2
    wanted = "does not say which model" if gone in ("source", "everything") else "cannot be loaded"
    assert wanted in answer.err
    assert "--model" in answer.err


@pytest.mark.parametrize("version", extended([0, 2, None, "1"], quick=[2, None]))
def test_a_record_of_another_version(p2vit, tmp_path, version):
    out = tmp_path / "p"
    quantize = ("quantize", "digits", "--data", "digits", "--calib-images", 4, "-o", out)
    assert p2vit(*quantize).code == 0
    record = json.loads((out / RECORD).read_text())
    (out / RECORD).write_text(json.dumps(record | {"version": version}))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert p2vit("audit", out).code == 0  # the program needs no record
    answer = p2vit(*quantize, "--overwrite")
    assert answer.code == 2
    assert f"{out / RECORD}: is not a record of this release of p2vit; move it away" in answer.err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / RECORD).unlink()  # as the text says; a program is known by its own hashes
    answer = p2vit(*quantize, "--overwrite")
    assert answer.code == 0, answer.err
