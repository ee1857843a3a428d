from pathlib import Path

import pytest

from p2vit.data.class_index import ClassIndex
from p2vit.errors import DataError
from p2vit.evaluate.labels import label_map


def test_by_name_whatever_the_order():
    found, note = label_map(["cat", "dog"], ["dog", "bird", "cat"], 3)
    assert (found.tolist(), note) == ([2, 0], "")


def test_by_position_where_the_model_names_nothing():
    found, note = label_map(["a", "b"], [], 2)
    assert (found.tolist(), note) == ([0, 1], "")


def test_by_position_with_a_note_where_names_differ():
    found, note = label_map(["0", "1"], ["dog", "cat"], 2)
    assert found.tolist() == [0, 1]
    assert "matched by position" in note


def test_no_guess_where_numbers_differ():
    found, note = label_map(["a", "b"], [], 1000)
    assert found is None
    assert "the photos have 2 classes and the model 1000 outputs" in note


def test_no_labels():
    assert label_map([], ["a"], 1)[0] is None


def index(*names, by_ilsvrc=None):
    return ClassIndex(Path("index.json"), tuple((name,) for name in names), by_ilsvrc)


def test_by_class_index():
    found, note = label_map(["dog", "cat"], ["x", "y", "z"], 3, index=index("cat", "bird", "dog"))
    assert (found.tolist(), note) == ([2, 0], "")
    with pytest.raises(DataError, match=r"index\.json: has 2 classes and the model 3 outputs"):
        label_map(["dog"], [], 3, index=index("cat", "dog"))
    with pytest.raises(DataError, match=r"does not have the photos' classes dgo\. Did you mean 'dog'\?"):
        label_map(["dgo", "cat"], [], 2, index=index("cat", "dog"))


def test_numbers_are_outputs():
    assert label_map(["3", "7"], [], 10, numbered=True)[0].tolist() == [3, 7]
    with pytest.raises(DataError, match="has the number 12, and the model's outputs are 0 to 9"):
        label_map(["12"], [], 10, numbered=True)


def test_imagenets_ground_truth_needs_the_devkit():
    with pytest.raises(DataError, match=r"ILSVRC2012_IDs.*meta\.mat with --class-index"):
        label_map(["1", "3"], [], 10, numbered=True, listed=True)
    devkit = index("a", "b", by_ilsvrc={1: 1, 3: 0})
    assert label_map(["1", "3"], [], 10, numbered=True, listed=True, index=devkit)[0].tolist() == [1, 0]
    with pytest.raises(DataError, match="has no ILSVRC2012_ID 2"):
        label_map(["1", "2"], [], 10, numbered=True, listed=True, index=devkit)


def test_wnids_of_a_thousand_outputs_are_imagenets(monkeypatch):
    names = [f"n{place:08}" for place in range(1000)]
    monkeypatch.setattr("p2vit.evaluate.labels.imagenet_index", lambda: index(*names))
    assert label_map(["n00000999", "n00000005"], [], 1000)[0].tolist() == [999, 5]
    assert label_map(["n00000999", "n99999999"], [], 1000)[0] is None
    assert label_map(["n00000999"], [], 10)[0] is None
