"""What users get wrong: each is one clear message, exit status 2, and no traceback."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from p2vit.program.format import save
from support.forging import SMALL
from support.programs import random_program

QUANTIZE = ("quantize", "digits", "--calib-images", 4, "-q")


@pytest.fixture
def refused(p2vit):
    """Run a command that must be refused, with and without --json; match its message."""

    def check(*arguments, match: str):
        answer = p2vit(*arguments)
        assert answer.code == 2, answer
        assert answer.out == ""
        with pytest.raises(AssertionError, match=match):
            raise AssertionError(answer.err)
        as_json = p2vit(*arguments, "--json")
        assert as_json.code == 2
        assert set(as_json.json) == {"error"}
        return answer

    return check


def photos(folder, count=4, side=8):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


# Folders.


def test_empty_folder(refused, tmp_path):
    (tmp_path / "none").mkdir()
    refused(
        *QUANTIZE,
        "--data",
        tmp_path / "none",
        "-o",
        tmp_path / "p",
        match=r"none: contains no photos. Photos have the suffixes",
    )
    assert not (tmp_path / "p").exists()


def test_no_such_folder(refused, tmp_path):
    refused(*QUANTIZE, "--data", tmp_path / "nowhere", "-o", tmp_path / "p", match="nowhere: no such folder")


def test_a_misspelt_benchmark(refused, tmp_path):
    refused(*QUANTIZE, "--data", "digit", "-o", tmp_path / "p", match=r"Did you mean 'digits'\?")


def test_a_file_for_a_folder(refused, tmp_path):
    (tmp_path / "x.png").write_bytes(b"x")
    refused(
        *QUANTIZE, "--data", tmp_path / "x.png", "-o", tmp_path / "p", match="is a file, but must be a folder"
    )


def test_a_folder_that_cannot_be_read(refused, tmp_path, monkeypatch):
    import os

    folder = photos(tmp_path / "locked")
    true = os.scandir

    def scandir(place="."):
        if place == folder:
            raise PermissionError(13, "Permission denied", str(place))
        return true(place)

    monkeypatch.setattr(os, "scandir", scandir)
    refused(
        *QUANTIZE, "--data", folder, "-o", tmp_path / "p", match="locked: cannot be read: Permission denied"
    )


# Photos.


def test_a_corrupt_photo_among_good_ones_is_skipped_and_named(p2vit, digits_program, tmp_path):
    folder = photos(tmp_path / "mixed")
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes()[:60])
    (folder / "zz.jpg").write_bytes(b"not a photo")
    for arguments in (
        ("eval", digits_program, "--data", folder),
        ("quantize", "digits", "--data", folder, "-o", tmp_path / "p", "--calib-images", 6),
        ("run", digits_program, folder),
    ):
        answer = p2vit(*arguments, "--json")
        assert answer.code == 0
        assert sorted(row["file"] for row in answer.json["skipped"]) == [
            str(folder / "1.png"),
            str(folder / "zz.jpg"),
        ]
        assert f"warning: skipped {folder / '1.png'}: " in answer.err
        assert f"warning: skipped {folder / 'zz.jpg'}: not a photo" in answer.err
    assert p2vit("eval", digits_program, "--data", folder, "--json").json["images"] == 3


def test_strict_refuses_a_corrupt_photo(refused, digits_program, tmp_path):
    folder = photos(tmp_path / "mixed")
    (folder / "1.png").write_bytes(b"\x89PNG")
    for arguments in (
        ("eval", digits_program, "--data", folder),
        (*QUANTIZE, "--data", folder, "-o", tmp_path / "p"),
        ("run", digits_program, folder),
    ):
        refused(*arguments, "--strict", match=r"1\.png: ")


def test_nothing_but_corrupt_photos(refused, digits_program, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"x")
    refused("eval", digits_program, "--data", tmp_path / "bad", match="none of the 1 photos could be read")
    refused("run", digits_program, tmp_path / "bad", match="none of the 1 photos could be read")
    arguments = (*QUANTIZE, "--data", tmp_path / "bad", "-o", tmp_path / "p")
    refused(*arguments, match="none of the 1 photos could be read")
    assert not (tmp_path / "p").exists()


def test_grey_rgba_palette_and_16_bit_photos_have_a_meaning(p2vit, digits_program, tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    images = {
        "grey.png": Image.fromarray(grey),
        "rgb.png": Image.fromarray(np.repeat(grey[..., None], 3, axis=2)),
        "rgba.png": Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])),
        "sixteen.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette.png": Image.fromarray(grey).convert("P"),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    rows = p2vit("run", digits_program, *(tmp_path / name for name in images), "--json").json["outputs"]
    assert len({tuple(row["logits"]) for row in rows}) == 1


def test_a_float_photo_is_skipped(p2vit, digits_program, tmp_path):
    folder = photos(tmp_path / "f", count=1)
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "float.tiff")
    answer = p2vit("eval", digits_program, "--data", folder, "--json")
    assert answer.json["images"] == 1
    assert "has no defined range" in answer.json["skipped"][0]["reason"]


def test_run_on_a_photo_that_is_not_there(refused, digits_program, tmp_path):
    refused("run", digits_program, tmp_path / "x.png", match=r"x\.png: no such file")


# Calibration.


def test_one_calibration_image_works_with_a_warning(p2vit, tmp_path):
    answer = p2vit(
        "quantize", "digits", "--data", "digits", "-o", tmp_path / "p", "--calib-images", 1, "--json"
    )
    assert (answer.code, answer.json["calibration_images"]) == (0, 1)
    assert "warning: calibrated on 1 photo(s)" in answer.err
    assert p2vit("audit", tmp_path / "p").code == 0


def test_fewer_photos_than_asked_for(p2vit, tmp_path):
    folder = photos(tmp_path / "few", count=3)
    answer = p2vit(
        "quantize", "digits", "--data", folder, "-o", tmp_path / "p", "--calib-images", 9, "--json"
    )
    assert answer.json["calibration_images"] == 3
    assert "there are only 3 photos to calibrate on, not 9" in answer.err


def test_no_calibration_image(refused, tmp_path):
    arguments = ("quantize", "digits", "--data", "digits", "-o", tmp_path / "p", "--calib-images", 0)
    refused(*arguments, match="0 is not in the range x>=1")


# Options.


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("--bits", "w9a8", "'w9a8' is not understood; allowed are w2a8 to w8a8"),
        ("--method", "papper", "'papper' is unknown.*Did you mean 'paper'"),
        ("--image-size", "8by8", "write 224, or 224x320"),
        ("--image-size", "9", "only takes 8 × 8 pixels"),
        ("--image-size", "²", "write 224, or 224x320"),
        ("--bits", "w²a8", "is not understood"),
        ("--crop-pct", "1e-9", "--crop-pct 1e-09: photos would be scaled to more than 65536 pixels"),
        ("--threads", "0", "0 is not in the range"),
        ("--method", "naive-ceil", "have no integer program"),
    ],
)
def test_options(refused, tmp_path, option, value, match):
    refused(*QUANTIZE, "--data", "digits", "-o", tmp_path / "p", option, value, match=match)
    assert not (tmp_path / "p").exists()


def test_unknown_backend(refused, digits_program):
    match = r"no back-end 'native2'\. Did you mean 'native'\? Allowed: auto, native, torch, reference, onnx"
    refused("eval", digits_program, "--data", "digits", "--backend", "native2", match=match)


def test_verify_needs_two_backends(refused, digits_program):
    refused("verify", digits_program, "--backends", "torch,torch", match="at least two different ones")


def test_unknown_ablation_row(refused, tmp_path):
    refused(
        "ablate",
        "digits",
        "--data",
        "digits",
        "-o",
        tmp_path,
        "--row",
        "xyz",
        match="--row 'xyz': no such row. Rows: p2vit;",
    )


# Models.


def test_unknown_model(refused, tmp_path):
    refused("quantize", "digitz", "--data", "noise", "-o", tmp_path / "p", match=r"Did you mean 'digits'\?")


def state():
    torch = pytest.importorskip("torch")
    from p2vit.models.registry import load_model

    named = load_model("digits").module.named_parameters()
    return torch, {name: value.detach().clone() for name, value in named}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda torch, s: s.pop("blocks.1.fc1.bias"), r"missing: blocks\.1\.fc1\.bias"),
        (
            lambda torch, s: s.update({"blocks.0.gate": torch.ones(2)}),
            r"not part of digits: blocks\.0\.gate",
        ),
        (lambda torch, s: s["norm.weight"].__setitem__(3, torch.nan), r"NaN or infinity in: norm\.weight"),
        (lambda torch, s: s.update({"norm.bias": torch.ones(63)}), r"norm\.bias is \[63\], not \[64\]"),
    ],
)
def test_checkpoints_that_do_not_fit(refused, tmp_path, change, match):
    torch, weights = state()
    change(torch, weights)
    torch.save(weights, tmp_path / "w.pth")
    arguments = ("quantize", tmp_path / "w.pth", "--arch", "digits", "--data", "digits", "-o", tmp_path / "p")
    refused(*arguments, match=match)


def test_unsupported_layers_are_named(refused, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(3)}, tmp_path / "swin.pth")
    arguments = (
        "quantize",
        tmp_path / "swin.pth",
        "--arch",
        "digits",
        "--data",
        "digits",
        "-o",
        tmp_path / "p",
    )
    refused(*arguments, match=r"swin\.pth: not a complete model: patch_embed\.proj\.weight is missing")


def test_a_weight_file_needs_its_architecture(refused, tmp_path):
    torch, weights = state()
    torch.save(weights, tmp_path / "w.pth")
    refused(
        "quantize", tmp_path / "w.pth", "--data", "digits", "-o", tmp_path / "p", match="add --arch, e.g."
    )


def test_a_checkpoint_of_our_own_works(p2vit, tmp_path):
    torch, weights = state()
    torch.save(weights, tmp_path / "w.pth")
    arguments = ("--arch", "digits", "--data", "digits", "-o", tmp_path / "p", "--calib-images", 8, "--json")
    assert p2vit("quantize", tmp_path / "w.pth", *arguments).code == 0
    found = p2vit("eval", tmp_path / "p", "--data", "digits", "--limit", 50, "--json").json
    assert found["agreement"] > 95
    weights["norm.bias"] += 1
    torch.save(weights, tmp_path / "w.pth")
    answer = p2vit("eval", tmp_path / "p", "--data", "digits")
    assert answer.code == 2
    assert "its weights are not those that were quantized" in answer.err


def test_torch_is_missing(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("p2vit.workflows.quantize.has_torch", lambda: False)
    refused(*QUANTIZE, "--data", "digits", "-o", tmp_path / "p", match=r"pip install 'p2vit\[quant\]'")


# Programs and files.


@pytest.mark.parametrize("verb", ["audit", "inspect", "verify", "eval", "run", "report"])
def test_damaged_programs(refused, digits_program, tmp_path, verb):
    more = {"eval": ("--data", "digits"), "run": (__file__,), "report": ("-o", tmp_path / "r.html")}.get(
        verb, ()
    )
    refused(verb, tmp_path / "nowhere", *more, match="nowhere: does not exist; a program is a folder")
    broken = tmp_path / "broken"
    shutil.copytree(digits_program, broken)
    content = bytearray((broken / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "tensors.safetensors").write_bytes(content)
    refused(verb, broken, *more, match="tensors.safetensors: its sha256 is not the one")
    (broken / "program.json").write_bytes((broken / "program.json").read_bytes()[:1000])
    refused(verb, broken, *more, match="program.json: is not JSON")
    (broken / "program.json").write_text('{"format": "other"}')
    refused(verb, broken, *more, match="program.json: is not an integer program")


def test_an_existing_program_is_kept(refused, p2vit, digits_program, tmp_path, monkeypatch):
    place = tmp_path / "p"
    shutil.copytree(digits_program, place)
    before = (place / "program.json").read_bytes()

    def never(*arguments, **options):
        raise AssertionError("time was spent before the output was refused")

    with monkeypatch.context() as patch:
        patch.setattr("p2vit.workflows.quantize.load", never)
        refused(*QUANTIZE, "--data", "digits", "-o", place, match=r"exists already.*\(--overwrite\)")
    assert (place / "program.json").read_bytes() == before
    arguments = ("quantize", "digits", "--data", "digits", "-o", place, "--seed", 3, "--overwrite", "-q")
    assert p2vit(*arguments).code == 0
    assert (place / "program.json").read_bytes() != before


def test_a_folder_that_is_no_program_is_never_overwritten(refused, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    arguments = (*QUANTIZE, "--data", "digits", "-o", tmp_path, "--overwrite")
    refused(
        *arguments, match=r"contains notes\.txt, but no program that p2vit wrote, so nothing is written there"
    )
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_dry_run_writes_nothing(p2vit, tmp_path):
    answer = p2vit(
        *QUANTIZE, "--data", "digits", "-o", tmp_path / "p", "--dry-run", "--bits", "w4a8", "--json"
    )
    found = answer.json
    assert not (tmp_path / "p").exists()
    bits = {layer["name"]: layer["bits"] for layer in found["layers"]}
    assert bits["blocks.0.mlp.fc1"] == bits["blocks.2.attn.q"] == 4
    assert bits["head"] == bits["patch_embed"] == 8
    assert found["files"][0] == str(tmp_path / "p" / "program.json")
    assert "files to write: " in p2vit(*QUANTIZE, "--data", "digits", "-o", tmp_path / "p", "--dry-run").out


def test_reports_are_kept_and_their_input_is_checked(refused, digits_program, tmp_path):
    page = tmp_path / "r.html"
    page.write_text("mine")
    refused("report", digits_program, "-o", page, match="exists already")
    refused("report", digits_program, "-o", tmp_path / "r.json", match="the report is an HTML file")
    other = tmp_path / "other"
    refused(
        "report", digits_program, "-o", other, "--eval", tmp_path / "no.json", match=r"no\.json: no such file"
    )
    (tmp_path / "e.json").write_text(json.dumps({"images": 1}))
    refused("report", digits_program, "-o", other, "--eval", tmp_path / "e.json", match="e.json: lacks ")


def test_a_program_without_its_float_model(refused, p2vit, tmp_path):
    save(random_program(**SMALL), tmp_path / "p")
    arguments = ("eval", tmp_path / "p", "--data", "noise")
    refused(*arguments, match="the float model 'random integers' cannot be loaded: .*--no-float")
    refused(*arguments, "--model", "digits", match="only takes 8 × 8 pixels")
    assert p2vit(*arguments, "--no-float", "--limit", 2, "--json").code == 0
