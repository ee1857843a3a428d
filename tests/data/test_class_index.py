import json

import numpy as np
import pytest

from p2vit.data.class_index import imagenet_index, read_class_index
from p2vit.errors import DataError


def index(tmp_path, content, name="classes.txt"):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return read_class_index(tmp_path / name)


WANTED = {"n01440764": 0, "tench, Tinca tinca": 0, "tench": 0, "n01443537": 1, "goldfish": 1}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            {"0": ["n01440764", "tench, Tinca tinca"], "1": ["n01443537", "goldfish"]},
            "imagenet_class_index.json",
        ),
        ("n01440764 tench, Tinca tinca\nn01443537 goldfish\n", "LOC_synset_mapping.txt"),
        ("n01440764\ttench, Tinca tinca\nn01443537\tgoldfish\n", "synset_to_lemma.txt"),
        ("1: 'n01443537 goldfish'\n0: 'n01440764 tench, Tinca tinca'\n", "numbered.txt"),
    ],
)
def test_wnids_and_labels(tmp_path, content, name):
    assert index(tmp_path, content, name).outputs() == WANTED


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (["cat", "dog"], "list.json"),
        ({"0": "cat", "1": "dog"}, "id2label.json"),
        ({"dog": 1, "cat": 0}, "label2id.json"),
        ({"id2label": {"0": "cat", "1": "dog"}, "hidden_size": 3}, "config.json"),
        ("cat\n\ndog\n", "class_map.txt"),
    ],
)
def test_names(tmp_path, content, name):
    assert index(tmp_path, content, name).outputs() == {"cat": 0, "dog": 1}


def test_a_name_of_two_outputs_is_none(tmp_path):
    found = index(tmp_path, "n02012849 crane\nn03126707 crane\n").outputs()
    assert found == {"n02012849": 0, "n03126707": 1}


def test_the_devkit_has_an_order_of_its_own(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [
        (1, "n02119789", "kit fox", 0),
        (2, "n01440764", "tench, Tinca", 0),
        (1001, "n00001740", "entity", 7),
    ]
    scipy_io.savemat(tmp_path / "meta.mat", {"synsets": np.array(rows, dtype=kind)})
    found = read_class_index(tmp_path / "meta.mat")
    assert found.names == (("n01440764", "tench, Tinca", "tench"), ("n02119789", "kit fox", "kit fox"))
    assert found.by_ilsvrc == {1: 1, 2: 0}


def test_imagenets_order_is_timms_own():
    pytest.importorskip("torch")
    found = imagenet_index()
    if found is None:
        pytest.skip("timm is not installed")
    assert len(found.names) == 1000
    assert [names[0] for names in found.names] == sorted(names[0] for names in found.names)


def test_refusals(tmp_path):
    with pytest.raises(DataError, match="no such class-index file"):
        read_class_index(tmp_path / "x.json")
    with pytest.raises(DataError, match="is not JSON"):
        index(tmp_path, "{", "x.json")
    with pytest.raises(DataError, match="with each output from 0 once"):
        index(tmp_path, {"1": "cat", "2": "dog"}, "x.json")
    with pytest.raises(DataError, match="contains no classes"):
        index(tmp_path, "\n")
    pytest.importorskip("scipy")
    with pytest.raises(DataError, match=r"is not the devkit's meta\.mat"):
        index(tmp_path, "x", "meta.mat")
    with pytest.raises(DataError, match="no such class-index file"):
        read_class_index(tmp_path / "nowhere.mat")
