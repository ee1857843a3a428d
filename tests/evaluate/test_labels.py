import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.data.class_index import ClassIndex, imagenet_index
from p2vit.errors import DataError
from p2vit.evaluate.labels import label_map


def test_by_name_whatever_the_order():
    found, note = label_map(["cat", "dog"], ["dog", "bird", "cat"], 3)
    assert (found.tolist(), note) == ([2, 0], "")


def test_by_position_where_the_model_names_nothing():
    found, note = label_map(["a", "b"], [], 2)
    assert found.tolist() == [0, 1]
    assert (
        "matched by position, a folder's in the order of the alphabet, because the model does not name"
        in note
    )


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
    with pytest.raises(DataError, match=r"does not have the photos' classes dgo, cta\. Did you mean 'dog'\?"):
        label_map(["dgo", "cta"], [], 2, index=index("cat", "dog"))
    found, note = label_map(["dgo", "cat"], [], 2, index=index("cat", "dog"))
    assert found.tolist() == [-1, 0]
    assert "1 of the photos' 2 classes have no output of their name" in note
    assert note.endswith("dgo. Did you mean 'dog'?")


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
    found, note = label_map(["n00000999", "n99999999"], [], 1000)
    assert found.tolist() == [999, -1]
    assert "not counted: n99999999" in note
    assert label_map(["n00000999"], [], 10)[0] is None


# Every way of writing a class's name, on both sides, in every order.

BASE = (
    "golden retriever",
    "tench",
    "café au lait",
    "T-shirt",
    "great white shark",
    "c++",
    "c#",
    "jack-o'-lantern",
)
NUMBERS = {name: f"n{place + 1:08}" for place, name in enumerate(BASE)}
WRITTEN = {
    "as it is": lambda name: name,
    "lower": str.lower,
    "upper": str.upper,
    "underscores": lambda name: name.replace(" ", "_"),
    "hyphens": lambda name: name.replace(" ", "-"),
    "macOS accents": lambda name: unicodedata.normalize("NFD", name),
    "spaces around": lambda name: f" {name} ",
    "number in front": lambda name: f"{NUMBERS[name]} {name}",
    "number_in_front": lambda name: f"{NUMBERS[name]}_{name.replace(' ', '_')}",
    "synonym behind": lambda name: f"{name}, Genus species",
}


@given(st.data())
def test_any_name_decides_whatever_the_way_of_writing(data):
    order = data.draw(st.permutations(BASE))
    model = [WRITTEN[data.draw(st.sampled_from(sorted(WRITTEN)))](name) for name in order]
    kept = data.draw(st.lists(st.sampled_from(BASE), min_size=1, unique=True))
    strangers = data.draw(
        st.lists(st.sampled_from(["zebra", "c", "cafe", "10", "retriever", "-1"]), unique=True)
    )
    photos = {}
    for name in kept:
        way = data.draw(st.sampled_from([way for way in WRITTEN if way != "synonym behind"]))
        photos[WRITTEN[way](name)] = order.index(name)
    photos |= dict.fromkeys(strangers, -1)
    classes = sorted(photos)
    found, note = label_map(classes, model, len(model))
    assert dict(zip(classes, found.tolist(), strict=True)) == photos
    assert "by position" not in note
    assert ("not counted" in note) == bool(strangers)
    for stranger in strangers[:8]:
        assert stranger in note


def test_six_of_seven_names_are_matched_by_name():
    model = ["plum", "fig", "kiwi", "apple", "pear", "lime", "mango"]
    photos = ["apple", "fig", "kiwi", "lime", "mangos", "pear", "plum"]
    found, note = label_map(photos, model, 7)
    assert found.tolist() == [3, 1, 2, 5, -1, 4, 0]
    assert note.endswith("not counted: mangos. Did you mean 'mango'?")


@pytest.mark.parametrize(
    ("photos", "model", "outputs", "wanted"),
    [
        # A name of two outputs is neither's; the exact spelling comes first.
        (["crane", "dog"], ["crane", "dog", "crane"], 3, [-1, 1]),
        (["Dog", "dog"], ["dog", "Dog"], 2, [1, 0]),
        (["DOG"], ["dog", "Dog"], 2, None),
        (["tench"], ["tench, Tinca tinca", "tench fish"], 2, [0]),
        (["apple, red"], ["apple, green", "pear"], 2, None),
        (["-1", "1"], ["0", "1"], 2, [-1, 1]),
        # Two folders may be one class.
        (["cat", "Cat_"], ["cat", "dog"], 2, [0, -1]),
        (["Cat", "cat"], ["cat", "dog"], 2, [0, 0]),
        # Names that are none: position, or the number that the folder is.
        (["a", "b"], ["LABEL_0", "LABEL_1"], 2, [0, 1]),
        (["0", "2"], ["LABEL_0", "LABEL_1", "LABEL_2"], 3, [0, 2]),
        (["0", "2"], ["0", "1", "2"], 3, [0, 2]),
        ([str(i) for i in range(10)], [], 10, list(range(10))),
        (["00", "03", "11"], [], 12, [0, 3, 11]),
        (sorted(map(str, range(1, 10))), [], 9, list(range(9))),
        ([f"{i:02}" for i in range(1, 13)], [], 12, list(range(12))),
        # Position has two meanings, or none.
        (sorted(map(str, range(12))), [], 12, None),
        (sorted(map(str, range(12))), [f"name {'abcdefghijkl'[i]}" for i in range(12)], 12, None),
        (["0", "2"], [], 12, None),
        (["1", "2"], [], 3, None),
        (["1", "01"], [], 2, None),
        (["0", "5"], [], 3, None),
        (["a", "b"], ["x", "y", "z"], 3, None),
        # One output is no class.
        (["a"], [], 1, None),
        (["a", "b"], ["a"], 1, None),
    ],
)
def test_combinations(photos, model, outputs, wanted):
    found, note = label_map(photos, model, outputs)
    assert (None if found is None else found.tolist()) == wanted
    assert note or (found is not None and -1 not in wanted)
    if found is None:
        assert "no accuracy" in note


def test_a_name_of_two_outputs_is_said():
    assert (
        "'crane' is the name of outputs 0, 2" in label_map(["crane", "dog"], ["crane", "dog", "crane"], 3)[1]
    )
    assert "the same output: Cat and cat" in label_map(["Cat", "cat"], ["cat", "dog"], 2)[1]


def test_numbers_out_of_order_ask_for_a_class_index():
    note = label_map(sorted(map(str, range(12))), [], 12)[1]
    assert "are numbers, whose order by value is not that of the alphabet" in note
    assert "--class-index" in note
    wanted = index(*map(str, range(12)))
    assert label_map(sorted(map(str, range(12))), [], 12, index=wanted)[0].tolist() == sorted(
        range(12), key=str
    )


def test_imagenets_folders_and_a_model_that_names_its_classes():
    known = imagenet_index()
    if known is None or len(known.names[0]) < 2:
        pytest.skip("timm is not installed")
    folders = [names[0] for names in known.names]
    labels = [names[1].split(",")[0] for names in known.names]
    # In ImageNet's order: all of them, also crane and maillot, which are two classes each.
    found, note = label_map(folders, labels, 1000)
    assert (found.tolist(), note) == (list(range(1000)), "")
    # In an order of its own: what is told by its name, and no other.
    found, note = label_map(folders, labels[::-1], 1000)
    twice = {place for place, label in enumerate(labels) if labels.count(label) > 1}
    for place, output in enumerate(found.tolist()):
        assert output == (-1 if place in twice else 999 - place)
    # A model of some of them.
    found, _ = label_map([folders[5], folders[1]], [labels[1], "no such", labels[5]], 3)
    assert found.tolist() == [2, 0]
