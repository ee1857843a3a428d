import json

import pytest
from PIL import Image

from p2vit.data.folder import ImageFolder
from p2vit.errors import DataError, P2vitError
from p2vit.evaluate.reproduction import Journal, check_drawn, fingerprint, table_rows
from p2vit.program.preprocessing import Preprocessing


def entry(**changes):
    found = {
        "setting": {"seed": 0}, "model": "DeiT-T", "name": "deit_tiny_patch16_224.fb_in1k", "bits": "w8a8",
        "method": "p2vit", "images": 50, "top1": 70.0, "top1_float": 72.0, "agreement": 95.0, "sqnr_db": 20.0,
    }  # fmt: skip
    return {**found, **changes}


def test_a_journal_goes_on_where_it_was_cut(tmp_path):
    path = tmp_path / "deeper" / "journal.jsonl"
    journal = Journal(path)
    journal.add(entry())
    journal.add(entry(setting={"seed": 1}, top1=71.0))
    whole = path.read_text()
    path.write_text(whole + '{"setting": {"se')
    again = Journal(path)
    assert again.find({"seed": 1})["top1"] == 71.0
    assert again.find({"seed": 2}) is None
    # Reading changes nothing.
    assert path.read_text() != whole
    again.add(entry(setting={"seed": 2}))
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3


@pytest.mark.parametrize("line", ["[]", "3", "x", '{"top1": 3}'])
def test_a_file_that_is_no_journal(tmp_path, line):
    (tmp_path / "j").write_text(line + "\n")
    with pytest.raises(P2vitError, match="j, line 1: is not a result of p2vit reproduce"):
        Journal(tmp_path / "j")
    assert (tmp_path / "j").read_text() == line + "\n"


def test_rows_put_each_figure_where_it_belongs():
    rows = table_rows([entry(), entry(top1=70.5), entry(bits="w4a8", method="p2vit-log2", top1=66.0)])
    mine = [row for row in rows if row["model"] == "DeiT-T" and row["measured"] is not None]
    assert [(row["method"], row["bits"], row["published"], row["measured"]) for row in mine] == [
        ("float", "32/32/32", 72.21, 72.0),
        ("p2vit-log2", "4/8/4", None, 66.0),
        ("p2vit", "8/8/4-8", None, 70.5),
    ]
    assert {row["source"] for row in mine[1:]} == {"measured on this machine"}
    published = [row for row in rows if row["published"] is not None and row["method"] != "float"]
    assert all(row["measured"] is None for row in published)


def test_a_model_that_nobody_has_published():
    rows = [row for row in table_rows([entry(model="mine", name="mine")]) if row["model"] == "mine"]
    assert [(row["method"], row["measured"], row["agreement"]) for row in rows] == [
        ("float", 72.0, None),
        ("p2vit", 70.0, 95.0),
    ]


def photos(folder, values):
    for place, value in enumerate(values):
        (folder / str(place % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (value, 0, 0)).save(folder / str(place % 2) / f"{place}.png")
    return ImageFolder(folder, Preprocessing(image_size=(4, 4)))


def test_the_same_photo_under_another_name_is_found(tmp_path):
    measured = photos(tmp_path / "val", range(10))
    check_drawn(photos(tmp_path / "train", range(20, 30)), measured, 5, 0)
    with pytest.raises(DataError, match=r"mixed.*is the same photo as .*val.*7\.png, which is measured"):
        check_drawn(photos(tmp_path / "mixed", [20, 21, 7, 23]), measured, 2, 0)


def test_a_fingerprint_is_of_names_sizes_and_labels(tmp_path):
    first = fingerprint(photos(tmp_path / "a", range(6)))
    assert fingerprint(photos(tmp_path / "b", range(6))) == first
    (tmp_path / "b" / "0" / "0.png").rename(tmp_path / "b" / "1" / "0.png")
    assert fingerprint(ImageFolder(tmp_path / "b", Preprocessing())) != first
