import pytest

from p2vit.data.labels import read_labels
from p2vit.errors import DataError


def table(tmp_path, text, name="labels.csv"):
    (tmp_path / name).write_text(text)
    return read_labels(tmp_path / name)


def pairs(found):
    return {file: found.classes[label] for file, label in found.of_file.items()}


@pytest.mark.parametrize(
    "text",
    [
        "a.png,cat\nb.png,dog\n",
        "file,label\na.png,cat\nb.png,dog\n",
        "label,Filename\ncat,a.png\ndog,b.png\n",
        "a.png\tcat\nb.png\tdog",
        "a.png cat\n\nb.png   dog\n",
        '"a.png","cat"\n"b.png","dog"\n',
        "\ufefffile,label\na.png,cat\nb.png,dog\n",
    ],
)
def test_rows(tmp_path, text):
    found = table(tmp_path, text)
    assert pairs(found) == {"a.png": "cat", "b.png": "dog"}
    assert found.classes == ("cat", "dog")
    assert not found.numbered
    assert not found.in_order


def test_json(tmp_path):
    assert pairs(table(tmp_path, '{"a.png": "cat", "b.png": 3}', "l.json")) == {"a.png": "cat", "b.png": "3"}


def test_names_with_spaces_and_commas(tmp_path):
    assert pairs(table(tmp_path, 'x y.png,"tench, Tinca tinca"\n')) == {"x y.png": "tench, Tinca tinca"}


def test_numbers_are_sorted_by_value(tmp_path):
    found = table(
        tmp_path, "ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\nx.JPEG 7\n", "val.txt"
    )
    assert (found.classes, found.numbered) == (("7", "65", "970"), True)


def test_kaggles_validation_solution(tmp_path):
    text = (
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00048981,n03995372 85 1 499 272\n"
        "ILSVRC2012_val_00037956,n03481172 131 0 499 254 n03481172 1 2 3 4\n"
    )
    assert pairs(table(tmp_path, text)) == {
        "ILSVRC2012_val_00048981": "n03995372",
        "ILSVRC2012_val_00037956": "n03481172",
    }


def test_a_list_without_file_names(tmp_path):
    found = table(tmp_path, "n02\nn01\nn02\n", "gt.txt")
    assert (found.classes, found.in_order, found.of_file) == (("n01", "n02"), (1, 0, 1), {})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "contains no labels"),
        ("a.png,cat\nb.png\n", r"labels\.csv, line 2: expected a file and a label, as in 'a\.png,cat'"),
        ("a.png,cat\na.png,dog\n", r"line 2: 'a\.png' has a different label"),
        ("file,label\n", "contains no labels"),
    ],
)
def test_refusals(tmp_path, text, match):
    with pytest.raises(DataError, match=match):
        table(tmp_path, text)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="no such label file"):
        read_labels(tmp_path / "no.csv")
    with pytest.raises(DataError, match="is not JSON"):
        table(tmp_path, "{", "x.json")
    with pytest.raises(DataError, match="one object of file → label"):
        table(tmp_path, "[1]", "x.json")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as a label file: it is not UTF-8"):
        read_labels(tmp_path / "b.csv")
