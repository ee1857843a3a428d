"""What ``report --eval`` reads: every key of an evaluation, missing or of a wrong type, is refused by name or shown."""

import json

import pytest

from p2vit.errors import P2vitError
from p2vit.evaluate.accuracy import Accuracy, ClassAccuracy, Confusion
from p2vit.program.audit import audit
from p2vit.report.page import render, report_data
from p2vit.workflows.plain import plain, to_json
from p2vit.workflows.report import SavedEvaluation, read_json
from support.programs import random_program

#: Values of every JSON type; for each key some of them are wrong.
ODD = (None, True, -1, 2.5, "odd", "", [], [1], [[1]], ["odd"], [None], {}, {"odd": 1}, [{}], [{"name": 1}])
CLASS = ClassAccuracy(
    name="a", output=0, images=2, top1=50.0, top5=None, top1_float=50.0, agreement=100.0, sqnr_db=20.0
)
GOOD = plain(
    Accuracy(
        images=3,
        top1=66.67,
        top5=None,
        top1_float=66.67,
        top5_float=None,
        agreement=100.0,
        sqnr_db=21.5,
        per_class=[CLASS],
        confusion=[[1, 1], [0, 1]],
        most_confused=[Confusion(true="a", predicted="b", images=1)],
        classes=["a", "b"],
        notes=["one"],
    )
) | {"data": "photos/", "skipped": [{"file": "x.png", "reason": "x.png: is empty"}]}
PROGRAM = random_program()


@pytest.fixture(scope="module")
def proof():
    return audit(PROGRAM)


@pytest.fixture
def shown(tmp_path, proof):
    """Read a file with an evaluation and make the page of it; the error's text if it is refused."""

    def run(found):
        file = tmp_path / "e.json"
        file.write_text(json.dumps(found), encoding="utf-8")
        try:
            measured = read_json(
                file, SavedEvaluation, {"images", "top1", "sqnr_db", "data"}, "p2vit eval --json"
            )
        except P2vitError as error:
            text = str(error)
            assert text.startswith(f"{file}: ")
            assert text.endswith("p2vit eval --json writes such files")
            return text
        data = report_data(PROGRAM, evaluation=measured, proof=proof)
        assert render(json.loads(to_json(data))).startswith("<!doctype html>")
        return ""

    return run


def test_a_good_file_is_shown(shown):
    assert shown(GOOD) == ""


@pytest.mark.parametrize("key", GOOD)
def test_a_key_of_a_wrong_type(shown, key):
    refused = [text for value in ODD if (text := shown(GOOD | {key: value}))]
    assert len(refused) >= len(ODD) // 2
    assert all(key in text for text in refused), refused


#: Keys that evaluations of version 0.1.0 did not have at first.
LATER = {"most_different", "mcnemar", "top1_interval", "top1_float_interval", "agreement_interval"}


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key(shown, key):
    text = shown({name: value for name, value in GOOD.items() if name != key})
    assert text == "" if key in LATER else key in text


@pytest.mark.parametrize("key", ["per_class", "most_confused", "skipped"])
def test_a_row_that_lacks_a_key_or_has_a_wrong_one(shown, key):
    [row] = GOOD[key]
    for name in row:
        assert key in shown(GOOD | {key: [{other: row[other] for other in row if other != name}]})
        assert key in shown(GOOD | {key: [row | {name: [1]}]})


@pytest.mark.parametrize("matrix", [[[1]], [[1, 2], [3]], [[1, 2, 3]] * 2, [[1, 2]] * 3])
def test_a_matrix_of_another_shape_than_its_classes(shown, matrix):
    assert "confusion must have 2 rows of 2 numbers" in shown(GOOD | {"confusion": matrix})


@pytest.mark.parametrize("found", [None, 1, "odd", [], [{}], {}, True])
def test_another_value_than_an_object(shown, found):
    assert shown(found)
