"""``p2vit quantize --max-drop``: exit status, JSON and texts."""

import pytest

from p2vit.program.format import load, program_sha256

QUICK = ["--calib-images", "16", "--threads", "1", "--held-out", "64"]
#: Enough photos that a program with 2-bit weights errs on some.
MANY = ["--held-out", "800"]


def quantize(p2vit, folder, *arguments):
    return p2vit("quantize", "digits", "--data", "digits", "-o", folder, *QUICK, *arguments)


def test_without_max_drop_nothing_is_compared(p2vit, tmp_path):
    answer = quantize(p2vit, tmp_path / "out", "--json")
    assert answer.code == 0
    assert answer.json["accuracy_control"] is None


def test_a_limit_that_holds_leaves_the_program_as_it_is(p2vit, tmp_path):
    plain = quantize(p2vit, tmp_path / "plain", "--json").json
    answer = quantize(p2vit, tmp_path / "out", "--max-drop", "20", "--json")
    control = answer.json["accuracy_control"]
    assert answer.code == 0
    assert control["holds"]
    assert control["raised"] == []
    assert control["held_out_images"] == 64
    assert answer.json["program_sha256"] == plain["program_sha256"]


@pytest.mark.extended
def test_raised_layers_are_named_and_their_program_is_saved(p2vit, tmp_path):
    wide = quantize(p2vit, tmp_path / "narrow", "--bits", "w2a8", "--max-drop", "100", *MANY, "--json").json
    agreement = wide["accuracy_control"]["agreement"]
    assert agreement < 100, "the test needs a program that errs"
    answer = quantize(p2vit, tmp_path / "out", "--bits", "w2a8", "--max-drop", "0", *MANY)
    assert answer.code == 0, answer.err
    assert "raised to 8 bits" in answer.out
    program = load(tmp_path / "out")
    widths = program.provenance["method"]["layer_bits"]
    assert widths
    assert set(widths.values()) == {8}
    assert all(f"    {name}" in answer.out for name in widths)
    assert program_sha256(program) != wide["program_sha256"]


def test_a_limit_that_does_not_hold_is_exit_status_1_and_the_program_is_saved(p2vit, tmp_path):
    """On random photos the classes are nearly equal: even 8 bits in every layer err somewhere."""
    arguments = ["--data", "noise", "--max-drop", "0", "--held-out", "400", "--json"]
    answer = quantize(p2vit, tmp_path / "out", *arguments)
    control = answer.json["accuracy_control"]
    assert control["agreement"] < 100, "the test needs a program that errs"
    assert answer.code == 1
    assert "--max-drop 0 does not hold" in answer.err
    assert program_sha256(load(tmp_path / "out")) == answer.json["program_sha256"]


def test_too_few_photos_are_shared_between_both_uses(p2vit, tmp_path):
    answer = quantize(p2vit, tmp_path / "out", "--held-out", "5000", "--max-drop", "50", "--json")
    assert answer.json["calibration_images"] == 16
    assert "there are only 898 photos; 882 of them are held out" in answer.err


@pytest.mark.parametrize("text", ["-1", "101", "nan", "x"])
def test_a_limit_that_is_no_percentage_is_refused(p2vit, tmp_path, text):
    answer = quantize(p2vit, tmp_path / "out", "--max-drop", text)
    assert answer.code == 2
    assert "drop" in answer.err
    assert not (tmp_path / "out").exists()


def test_a_model_without_classes_is_refused(p2vit, tmp_path):
    answer = p2vit(
        "quantize", "dinov2", "--data", "elpv", "-o", tmp_path / "out", "--max-drop", "1", "--threads", "1"
    )
    assert answer.code == 2
    assert "dinov2 has no classes" in answer.err
