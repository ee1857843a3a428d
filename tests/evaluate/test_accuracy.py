import math
from dataclasses import replace

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.evaluate.accuracy import Classes, executor_predict, measure, percent, sqnr
from p2vit.evaluate.records import Records, ranking
from support.programs import random_pixels, random_program

LOGITS = np.array([[5, 1, 2], [1, 4, 2], [0, 0, 9], [7, 7, 1]])
FEATURES = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def batches(labels, size=2):
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    for start in range(0, 4, size):
        yield pixels[start : start + size], np.array(labels[start : start + size])


def lookup(logits, features):
    return lambda pixels: (logits[pixels.ravel()], features[pixels.ravel()])


ABC = Classes(("a", "b", "c"), ("a", "b", "c"), 3)


def measured(labels=(0, 1, 2, 1), exact=None, **other):
    return measure(lookup(LOGITS, FEATURES), exact, batches(labels), replace(ABC, **other), total=4)


def test_top1_and_confusion():
    found = measured()
    assert (found.images, found.top1, found.top5) == (4, 75.0, None)  # equal logits: the first class
    assert found.confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert [(row.name, row.images, row.top1) for row in found.per_class] == [
        ("a", 1, 100),
        ("b", 2, 50),
        ("c", 1, 100),
    ]
    assert found.notes == ["no float model: no float accuracy, agreement or SQNR"]


def test_float_model_agreement_and_sqnr():
    other = LOGITS[[0, 1, 0, 3]]
    found = measured(exact=lookup(other, FEATURES + 0.5))
    assert (found.top1_float, found.agreement) == (50.0, 75.0)
    wanted = 10 * math.log10(((FEATURES + 0.5) ** 2).sum() / (8 * 0.25))
    assert found.sqnr_db == pytest.approx(wanted, abs=0.01)


def test_figures_carry_their_uncertainty():
    found = measured(exact=lookup(LOGITS[[0, 1, 0, 3]], FEATURES))
    assert found.top1_interval == [30.06, 95.44]  # three of four
    assert found.top1_float_interval == [15.0, 85.0]
    assert found.agreement_interval == found.top1_interval
    assert found.mcnemar.model_dump() == {"program_only": 1, "float_only": 0, "p_value": 1.0}


def test_without_a_float_model_only_top1_has_an_interval():
    found = measured()
    assert found.top1_interval is not None
    assert (found.top1_float_interval, found.agreement_interval, found.mcnemar) == (None, None, None)


def test_equal_features_have_no_noise():
    assert measured(exact=lookup(LOGITS, FEATURES)).sqnr_db == math.inf


def test_unlabelled_photos():
    found = measured(labels=(-1, -1, -1, -1), exact=lookup(LOGITS, FEATURES), photos=())
    assert (found.top1, found.agreement, found.confusion) == (None, 100.0, None)


def test_a_model_without_a_head():
    found = measured(exact=lookup(LOGITS, FEATURES), outputs=0)
    assert (found.top1, found.agreement, found.sqnr_db) == (None, None, math.inf)
    assert "no head" in found.notes[0]


def test_classes_are_matched_by_name():
    found = measured(labels=(2, 1, 0, 1), photos=("c", "b", "a"))
    assert found.top1 == 75.0


def test_top5():
    logits = np.eye(8)[[0, 1, 2, 3]] * 9 - np.arange(8)
    found = measure(
        lookup(logits, FEATURES), None, batches((0, 7, 4, 3)), Classes(tuple("abcdefgh"), (), 8), total=4
    )  # fmt: skip
    assert (found.top1, found.top5) == (50.0, 75.0)


def test_ranking_of_equal_logits_is_by_index():
    assert ranking(np.array([[1, 3, 3, 0, 3, 2, 2]])).tolist() == [[1, 2, 4, 5, 6]]


def test_percent():
    assert percent(np.array([True, False, False])) == 33.33
    assert percent(np.array([], bool)) is None


def test_a_program_and_its_executor():
    program = random_program()
    pixels = random_pixels(program, 3)
    logits, features = executor_predict(program, ReferenceExecutor(program))(pixels)
    assert logits.shape == (3, 5)
    assert features.shape == (3, 48)
    stored = ReferenceExecutor(program).run(pixels)["head"].reshape(3, 5)
    assert np.array_equal(logits, stored * 2.0**-12)


def test_nothing_counted():
    none = np.zeros(0, np.int64)
    assert sqnr(Records(none, none, np.zeros((0, 0), np.int64))) is None
    assert measure(
        lookup(LOGITS, FEATURES), None, [], Classes((), (), 3), total=0
    ).images == 0  # fmt: skip


def test_classes_have_rows_of_their_own():
    found = measured(exact=lookup(LOGITS[[0, 1, 2, 1]], FEATURES + 0.5))
    row = found.per_class[1].model_dump()
    assert row.pop("sqnr_db") == pytest.approx(
        10 * math.log10((3.5**2 + 4.5**2 + 7.5**2 + 8.5**2) / 1), abs=0.01
    )
    assert row == {
        "name": "b", "output": 1, "images": 2, "top1": 50, "top5": None, "top1_float": 100, "agreement": 50,
    }  # fmt: skip
    assert [pair.model_dump() for pair in found.most_confused] == [
        {"true": "b", "predicted": "a", "images": 1}
    ]


def test_a_thousand_classes_have_no_matrix_but_confusions():
    logits = np.zeros((4, 1000))
    logits[range(4), [7, 7, 900, 3]] = 1
    names = [{3: "c7", 7: "a", 900: "b"}.get(k, f"c{k}") for k in range(1000)]
    found = measure(
        lookup(logits, FEATURES), None, batches((0, 1, 1, 0)), Classes(("a", "b"), names, 1000), total=4
    )
    assert (found.top1, found.confusion) == (50.0, None)
    pairs = [(pair.true, pair.predicted, pair.images) for pair in found.most_confused]
    assert pairs == [("a", "c7", 1), ("b", "a", 1)]
