"""``p2vit inspect --errors``: the table, the first tensor that is far off, and errors."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "digit.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)).save(file)
    return file


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    from p2vit.workflows.quantize import run_quantize

    folder = tmp_path_factory.mktemp("program") / "digits"
    run_quantize("digits", "digits", folder, calib_images=16, threads=1)
    return folder


def test_without_a_photo_nothing_is_compared(p2vit, program):
    assert p2vit("inspect", program, "--json").json["errors"] is None


def test_every_tensor_has_a_row(p2vit, program, photo):
    answer = p2vit("inspect", program, "--errors", photo, "--json")
    assert answer.code == 0, answer.err
    errors = answer.json["errors"]
    assert [site["name"] for site in errors["sites"]] == [layer["name"] for layer in answer.json["layers"]]
    assert errors["model"] == "digits"
    assert errors["photo"] == str(photo)
    patches = errors["sites"][0]
    assert patches["sqnr_db"] is None, "equal tensors have an infinite SQNR, which JSON does not have"
    norm = next(site for site in errors["sites"] if site["name"] == "blocks.0.norm1")
    assert len(norm["worst"]["index"]) == 2
    assert norm["sqnr_db"] > 10


def test_the_first_tensor_below_the_limit_is_named(p2vit, program, photo):
    sites = p2vit("inspect", program, "--errors", photo, "--json").json["errors"]["sites"]
    limit = sorted(site["sqnr_db"] for site in sites if site["sqnr_db"] is not None)[2] + 0.01
    wanted = next(site for site in sites if site["sqnr_db"] is not None and site["sqnr_db"] < limit)
    answer = p2vit("inspect", program, "--errors", photo, "--below", limit)
    last = answer.out.rstrip().splitlines()[-1]
    assert f"first below {limit:g} dB: {wanted['name']}, {wanted['sqnr_db']:.2f} dB" in last
    assert f"program {wanted['worst']['program']:.4g}, float {wanted['worst']['float']:.4g}" in last
    assert answer.out.count("\n") > len(sites)
    nothing = p2vit("inspect", program, "--errors", photo, "--below", -100)
    assert nothing.out.rstrip().endswith("no tensor is below -100 dB")


def test_a_photo_that_is_not_there_is_refused(p2vit, program, tmp_path):
    answer = p2vit("inspect", program, "--errors", tmp_path / "no.png")
    assert answer.code == 2
    assert "no.png: no such file" in answer.err


def test_another_float_model_is_refused(p2vit, program, photo):
    answer = p2vit("inspect", program, "--errors", photo, "--model", "no-such-model")
    assert answer.code == 2
    assert "Name it with --model" in answer.err
    assert "--no-float" not in answer.err
