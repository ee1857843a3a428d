import re
import shlex
import shutil
from dataclasses import replace

import pytest

from p2vit.cli.main import cli
from p2vit.program.format import load, program_sha256
from p2vit.report.card import CARD_FILE, model_card
from support.programs import random_program


def test_a_card_of_a_program_without_provenance():
    card = model_card(replace(random_program(), provenance={}))
    assert "# unknown, unknown widths, as an integer program" in card
    assert program_sha256(random_program()) in card


def test_quantize_writes_a_card(p2vit, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    words = ("quantize", "digits", "--data", "digits", "--calib-images", 8, "-q", "--bits", "w4a8")
    for place, threads in (("a", 1), ("deeper/b", 2)):
        assert p2vit(*words, "-o", tmp_path / place, "--threads", threads).code == 0
    card = (tmp_path / "a" / CARD_FILE).read_text(encoding="utf-8")
    assert (tmp_path / "deeper" / "b" / CARD_FILE).read_text(encoding="utf-8") == card
    program = load(tmp_path / "a")
    for text in (
        "# digits, W4A8, as an integer program", "| float model | `digits` |", "8 photos of `digits`, seed 0",
        "10 logits, int32", program_sha256(program), program.provenance["weights_sha256"], f"{program.macs:,}",
        "## Licence",
    ):  # fmt: skip
        assert text in card, text
    assert str(tmp_path) not in card
    for line in re.search(r"```bash\n(.*?)```", card, re.DOTALL)[1].splitlines():
        _, verb, *rest = shlex.split(line)
        cli.get_command(None, verb).make_context(verb, rest)


def test_a_card_is_no_part_of_the_program(p2vit, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    words = ("quantize", "digits", "--data", "digits", "--calib-images", 8, "-q", "-o", tmp_path / "p")
    assert p2vit(*words).code == 0
    before = program_sha256(load(tmp_path / "p"))
    (tmp_path / "p" / CARD_FILE).write_text("mine\n")
    assert program_sha256(load(tmp_path / "p")) == before
    (tmp_path / "p" / CARD_FILE).unlink()
    shutil.copytree(tmp_path / "p", tmp_path / "bare")
    assert p2vit("audit", tmp_path / "bare").code == 0
