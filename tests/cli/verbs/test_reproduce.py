"""``p2vit reproduce`` for real: a folder in ImageNet's shape, and a timm model of four classes with random weights."""

import json

import numpy as np
import pytest
from PIL import Image

WNIDS = ("n01440764", "n01443537", "n02099601", "n03888257")


def fill(root, each, seed):
    rng = np.random.default_rng(seed)
    for wnid in WNIDS:
        (root / wnid).mkdir(parents=True)
        for index in range(each):
            blobs = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
            blobs.resize((30, 22)).save(root / wnid / f"ILSVRC2012_{seed}_{index:08}.JPEG")
    return root


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    return fill(root / "val", 4, 1), fill(root / "train", 3, 2)


@pytest.fixture
def tiny_timm(timm, tmp_path):
    """A model that timm makes by name and whose weights timm loads from a file, as it does with downloaded ones."""
    import safetensors.torch
    import torch
    from timm.models import build_model_with_cfg, register_model
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 4}
    file = tmp_path / "tiny.safetensors"
    model = VisionTransformer(**shape)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn_like(value))
    safetensors.torch.save_file(model.state_dict(), file)
    own = {
        "file": str(file),
        "num_classes": 4,
        "input_size": (3, 16, 16),
        "classifier": "head",
        "first_conv": None,
    }

    def p2vit_test_tiny(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, **options):
        return build_model_with_cfg(
            VisionTransformer, "p2vit_test_tiny", pretrained, pretrained_cfg=own, **{**shape, **options}
        )

    register_model(p2vit_test_tiny)
    return "p2vit_test_tiny"


def test_from_photos_to_the_table_and_on_again(p2vit, imagenet, tiny_timm, tmp_path):
    val, train = imagenet
    words = ("reproduce", "--data", val, "--calib-data", train, "--models", tiny_timm, "-o", tmp_path / "r")
    more = ("--calib-images", 8, "--threads", 2)
    answer = p2vit(*words, *more, "--bits", "w8a8", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert found["failed"] == []
    (entry,) = found["measured"]
    assert (entry["images"], entry["bits"], entry["skipped"]) == (16, "w8a8", 0)
    # The figures are those of quantize and eval by hand.
    program = tmp_path / "by-hand"
    assert p2vit("quantize", tiny_timm, "--data", train, "-o", program, "--calib-images", 8, "-q").code == 0
    direct = p2vit("eval", program, "--data", val, "--json").json
    for key in ("top1", "top1_float", "agreement", "sqnr_db", "program_sha256"):
        assert entry[key] == direct[key], key
    assert entry["sqnr_db"] > 10
    rows = [row for row in found["rows"] if row["model"] == tiny_timm]
    assert [(row["method"], row["measured"]) for row in rows] == [
        ("float", entry["top1_float"]),
        ("p2vit", entry["top1"]),
    ]
    # A run that was stopped goes on: what is in the journal is not measured again.
    journal = tmp_path / "r" / "journal.jsonl"
    before = journal.read_text()
    again = p2vit(*words, *more, "--bits", "w8a8", "--bits", "w4a8", "--json")
    assert "p2vit_test_tiny w8a8: already measured, taken from the journal" in again.err
    assert [row["bits"] for row in again.json["measured"]] == ["w8a8", "w4a8"]
    assert journal.read_text().startswith(before)
    assert len(journal.read_text().splitlines()) == 2
    limited = p2vit(*words, *more, "--bits", "w8a8", "--limit", 5, "--json").json["measured"]
    assert [row["images"] for row in limited] == [5]
    table = p2vit("reproduce", "-o", tmp_path / "r").out
    assert "p2vit_test_" in table
    assert "measured" in table


def test_weights_from_files(p2vit, imagenet, tmp_path):
    """Offline: a weight file by the architecture's name; a model that cannot be had does not stop the others."""
    torch = pytest.importorskip("torch")
    from p2vit.models.registry import load_model

    val, train = imagenet
    (tmp_path / "w").mkdir()
    state = {
        name: value.detach().clone() for name, value in load_model("random:digits").module.named_parameters()
    }
    state["head.weight"], state["head.bias"] = state["head.weight"][:10], state["head.bias"][:10]
    torch.save(state, tmp_path / "w" / "digits.pth")
    (tmp_path / "index.json").write_text(json.dumps([*WNIDS, *(f"n{place:08}" for place in range(6))]))
    words = (
        "reproduce",
        "--data",
        val,
        "--calib-data",
        train,
        "--weights",
        tmp_path / "w",
        "-o",
        tmp_path / "r",
    )
    answer = p2vit(
        *words, "--models", "DeiT-T", "--models", "digits", "--bits", "w8a8", "--class-index",
        tmp_path / "index.json", "--calib-images", 8, "--json",
    )  # fmt: skip
    assert answer.code == 1
    assert [row["name"] for row in answer.json["measured"]] == ["digits"]
    (failed,) = answer.json["failed"]
    assert failed["model"] == "deit_tiny_patch16_224.fb_in1k"
    assert "has no weights of deit_tiny_patch16_224.fb_in1k; add one of deit_tiny" in failed["error"]


def test_without_imagenet_it_shows_the_table_and_runs_nothing(p2vit, tmp_path, monkeypatch):
    monkeypatch.setattr("p2vit.workflows.reproduce.run_quantize", None)
    answer = p2vit("reproduce", "-o", tmp_path / "r")
    assert answer.code == 0
    assert "71.61" in answer.out
    assert "arXiv 2405.19915" in answer.out
    assert "Measuring needs ImageNet-1k" in answer.out
    assert not (tmp_path / "r").exists()
    rows = p2vit("reproduce", "-o", tmp_path / "r", "--json").json["rows"]
    assert all(row["measured"] is None for row in rows)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--models", "DeiT-T"), "--data is missing"),
        (("--data", "{val}"), "calibration needs photos that are not measured.*move a few hundred"),
        (("--data", "{val}", "--calib-data", "{val}"), "must be different folders"),
        (("--data", "{val}", "--calib-data", "{val}/n01440764"), "none inside the other"),
        (("--data", "{val}/n01440764", "--calib-data", "{train}"), "has no labels"),
        (("--data", "{val}/..", "--calib-data", "{train}"), r"parts of a data set.*\.\./val"),
        (("--data", "{val}/nowhere", "--calib-data", "{train}"), "no such folder"),
        (("--data", "{val}", "--calib-data", "{train}", "--method", "paper"), "makes no integer program"),
        (("--data", "{val}", "--calib-data", "{train}", "--bits", "w9a8"), "w2a8 to w8a8"),
        (("--data", "{val}", "--calib-data", "{train}", "--models", "x*"), "matches none of DeiT-T"),
    ],
)
def test_refusals(p2vit, imagenet, tmp_path, words, match):
    val, train = imagenet
    places = {"val": val, "train": train}
    answer = p2vit("reproduce", "-o", tmp_path / "r", *(word.format(**places) for word in words))
    assert answer.code == 2
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(answer.err)
