"""``p2vit eval`` on the folders and label files that people have."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

WNIDS = ("n00000004", "n00000009", "n00000002")


@pytest.fixture(scope="module")
def digit_photos(tmp_path_factory):
    """Thirty held-out digits as files, their labels, and thirty training ones with a subfolder per class."""
    pytest.importorskip("sklearn")
    from p2vit.data.benchmarks import open_photos
    from p2vit.program.preprocessing import Preprocessing

    root = tmp_path_factory.mktemp("photos")
    source = open_photos("digits", Preprocessing(image_size=(8, 8)))
    (root / "flat").mkdir()
    labels = []
    for number in source.order(30).tolist():
        label = int(source.labels_of(np.array([number]))[0])
        Image.fromarray(source.photo(number)).save(root / "flat" / f"{number:04}.png")
        labels.append((f"{number:04}.png", label))
    for number in source.train[:60].tolist():
        label = int(source.labels_of(np.array([number]))[0])
        (root / "gallery" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.photo(number)).save(root / "gallery" / str(label) / f"{number}.png")
    return root, labels


def write(path, text):
    path.write_text(text)
    return path


def test_labels_in_a_file(p2vit, digits_program, digit_photos, tmp_path):
    root, labels = digit_photos
    rows = write(tmp_path / "l.csv", "file,label\n" + "".join(f"{file},{label}\n" for file, label in labels))
    found = p2vit("eval", digits_program, "--data", root / "flat", "--labels", rows, "--json").json
    assert (found["images"], found["processes"]) == (30, 1)
    assert found["top1"] > 90
    assert sum(row["images"] for row in found["per_class"]) == 30
    # The same as a list in the order of the names, which holds a 0, so it counts from 0.
    in_order = write(tmp_path / "gt.txt", "".join(f"{label}\n" for _, label in sorted(labels)))
    again = p2vit("eval", digits_program, "--data", root / "flat", "--labels", in_order, "--json").json
    assert {key: again[key] for key in ("top1", "per_class")} == {
        key: found[key] for key in ("top1", "per_class")
    }
    nine = write(tmp_path / "nine.csv", f"{labels[0][0]},{labels[0][1]}\n")
    one = p2vit("eval", digits_program, "--data", root / "flat", "--labels", nine, "--json").json
    assert sum(row["images"] for row in one["per_class"]) == 1
    assert "29 photos have no label" in " ".join(one["notes"])


def test_wnids_and_a_class_index(p2vit, digits_program, digit_photos, tmp_path):
    root, labels = digit_photos
    photos = tmp_path / "val"
    for file, label in labels:
        (photos / f"n{label + 100:08}").mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "flat" / file, photos / f"n{label + 100:08}" / file)
    shutil.rmtree(photos / "n00000103")  # a part of the classes is enough
    refused = p2vit("eval", digits_program, "--data", photos, "--no-float", "--json").json
    assert refused["top1"] is None
    assert "--class-index" in " ".join(refused["notes"])
    index = {str(label): [f"n{label + 100:08}", f"digit {label}"] for label in range(10)}
    file = write(tmp_path / "class_index.json", json.dumps(index))
    found = p2vit("eval", digits_program, "--data", photos, "--class-index", file, "--json").json
    assert found["top1"] > 90
    assert {row["name"]: row["output"] for row in found["per_class"]}["n00000107"] == 7


def test_figures_do_not_depend_on_threads_and_workers(p2vit, digits_program, digit_photos):
    root, _ = digit_photos
    common = ("eval", digits_program, "--data", root / "gallery", "--json", "--batch-size", 7)
    results = [
        p2vit(*common, "--threads", threads, "--readers", workers).json
        for threads, workers in ((1, 0), (3, 2), (2, 1))
    ]
    for result in results:
        for key in ("threads", "evaluation_seconds"):
            del result[key]
    assert results[0] == results[1] == results[2]


def test_tables(p2vit, digits_program, digit_photos, tmp_path):
    root, _ = digit_photos
    table, classes = tmp_path / "runs.csv", tmp_path / "classes.csv"
    arguments = ("eval", digits_program, "--data", root / "gallery", "--csv", table, "--per-class", classes)
    first = p2vit(*arguments, "--json").json
    second = p2vit(*arguments, "--no-float")
    assert second.code == 2
    assert "classes.csv: exists already" in second.err
    assert p2vit(*arguments, "--no-float", "--overwrite").code == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["digits", "digits"]
    assert rows[0]["program_sha256"] == rows[1]["program_sha256"] == first["program_sha256"]
    assert (rows[0]["bits"], rows[0]["method"], rows[0]["seed"]) == ("w8a8", "p2vit", "0")
    assert float(rows[0]["top1"]) == first["top1"]
    assert (float(rows[0]["sqnr_db"]), rows[1]["sqnr_db"]) == (first["sqnr_db"], "")
    assert rows[0]["torch"]
    with classes.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [row["name"] for row in first["per_class"]]
    foreign = write(tmp_path / "other.csv", "a,b\n1,2\n")
    answer = p2vit("eval", digits_program, "--data", "noise", "--csv", foreign)
    assert answer.code == 2
    assert "its columns are not those of this release" in answer.err
    assert foreign.read_text() == "a,b\n1,2\n"


def test_features(p2vit, digits_program, digit_photos):
    root, _ = digit_photos
    answer = p2vit("eval", digits_program, "--data", "digits", "--limit", 64, "--feature", "--json")
    found = answer.json["feature"]
    assert found["gallery_images"] == 898
    assert (found["k"], found["temperature"], found["gallery"]) == (20, 0.07, "digits")
    assert found["knn_top1"] > 95
    assert found["knn_agreement"] > 95
    assert 0.95 < found["cosine_min"] <= found["cosine_mean"] <= 1
    own = p2vit(
        "eval",
        digits_program,
        "--data",
        root / "gallery",
        "--feature",
        "--gallery",
        "digits",
        "--neighbours",
        3,
    )
    assert "k-NN" in own.out
    alone = p2vit("eval", digits_program, "--data", root / "flat", "--feature", "--json").json
    assert alone["feature"]["cosine_mean"] is not None
    assert alone["feature"]["knn_top1"] is None
    assert "--gallery DIR" in " ".join(alone["notes"])


def test_a_program_without_a_head(p2vit, digit_photos, tmp_path):
    pytest.importorskip("torch")
    from p2vit.program.format import save
    from p2vit.quant.api import quantize
    from p2vit.quant.config import OURS
    from support.tiny import float_model

    root, _ = digit_photos
    model = float_model(num_classes=0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 12, 3), dtype=np.uint8)
    save(quantize(model, [pixels], OURS, threads=1).program, tmp_path / "p")
    arguments = ("eval", tmp_path / "p", "--data", root / "flat", "--no-float", "--feature", "--json")
    found = p2vit(*arguments, "--gallery", root / "gallery").json
    assert (found["top1"], found["feature"]["gallery_images"]) == (None, 60)
    assert found["feature"]["knn_top1"] is None  # flat photos have no labels
    labelled = p2vit("eval", tmp_path / "p", "--data", root / "gallery", "--no-float", "--feature", "--json")
    assert labelled.json["feature"]["knn_top1"] is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--data", "{flat}", "--gallery", "{gallery}"), "which needs --feature; add --feature"),
        (("--data", "{gallery}", "--feature", "--gallery", "{gallery}"), "must be different folders"),
        (("--data", "{gallery}/3", "--feature", "--gallery", "{gallery}"), "none inside the other"),
        (("--data", "{gallery}", "--feature", "--gallery", "{flat}"), "make one subfolder per class"),
        (("--data", "{flat}", "--labels", "{flat}/none.csv"), "no such label file"),
        (("--data", "{flat}", "--class-index", "{flat}/none.json"), "no such class-index file"),
        (("--data", "digits", "--labels", "x.csv"), "has its own labels"),
        (("--data", "{split}"), "parts of a data set, not classes; give .*split/val"),
    ],
)
def test_refusals(p2vit, digits_program, digit_photos, tmp_path, arguments, match):
    root, _ = digit_photos
    for name in ("train", "val"):
        (tmp_path / "split" / name / "cat").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "split" / name / "cat" / "1.png")
    places = {"flat": root / "flat", "gallery": root / "gallery", "split": tmp_path / "split"}
    answer = p2vit("eval", digits_program, "--no-float", *(word.format(**places) for word in arguments))
    assert answer.code == 2
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(answer.err)


def test_imagenets_ground_truth_without_the_devkit(p2vit, digits_program, digit_photos, tmp_path):
    root, _ = digit_photos
    listed = write(tmp_path / "ILSVRC2012_validation_ground_truth.txt", "5\n" * 30)
    answer = p2vit("eval", digits_program, "--no-float", "--data", root / "flat", "--labels", listed)
    assert answer.code == 2
    assert "ILSVRC2012_IDs, whose order is not that of any model's outputs" in answer.err
