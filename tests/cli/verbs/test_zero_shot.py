"""Zero-shot classification from the command line, and features of an image embedding in Python."""

import json

import numpy as np
import pytest
from PIL import Image

import p2vit
from p2vit.cli.main import run
from support.two_towers import CLASSES, save_two_towers

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def place(tmp_path_factory, torchvision_operators):
    folder = tmp_path_factory.mktemp("zero")
    for kind in ("clip", "siglip"):
        save_two_towers(kind, folder / kind)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(
        folder / "x.png"
    )
    return folder


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_quantize_run_eval_and_audit(place, tmp_path, capsys, kind):
    words = ["quantize", f"hf:{place / kind}", "--data", "noise", "--classes", str(place / "classes.txt")]
    options = ["--template", "a photo of a {}", "--calib-images", "8", "--threads", "1"]
    assert run([*words, *options, "-o", str(tmp_path / "out"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["outputs"][0]["classes"] == list(CLASSES)
    assert made["checked"]["difference"] < 1e-5
    assert run(["run", str(tmp_path / "out"), str(place / "x.png"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["outputs"][0]
    assert shown["label"] in CLASSES
    assert len(shown["logits"]) == len(CLASSES)
    assert (
        run(["eval", str(tmp_path / "out"), "--data", "noise", "--limit", "8", "--threads", "1", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["sqnr_db"] > 15
    assert run(["audit", str(tmp_path / "out")]) == 0
    assert (
        run(["verify", str(tmp_path / "out"), "--backends", "reference,torch,native,onnx", "--images", "2"])
        == 0
    )


def test_the_embedding_in_python(place):
    q = p2vit.quantize(f"hf:{place / 'clip'}", "noise", outputs="embedding", calib_images=8, progress=False)
    features = q.features([place / "x.png", place / "x.png"])
    assert features.shape == (2, 24)
    assert (features**2).mean() == pytest.approx(1, abs=0.1)
    assert not q.has_head


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--classes", "cat,dog"], "--classes: digits has no image embedding beside a text tower"),
        (["digits", "--output", "embedding"], "--output embedding: digits has no image embedding"),
        (["digits", "--classes", "cat"], "--classes cat: no such file; give a file with one class per line"),
        (["digits", "--classes", "a,b", "--template", "x"], "--template 'x' needs one {}"),
    ],
)
def test_errors_are_one_line_and_exit_2(words, message, tmp_path, capsys):
    assert run(["quantize", *words, "--data", "noise", "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_search_refuses_an_embedding(place):
    with pytest.raises(p2vit.P2vitError, match="search does not take models with an image embedding"):
        p2vit.search(
            f"hf:{place / 'clip'}", "noise", budget="average-bits=6", classes=CLASSES, progress=False
        )
