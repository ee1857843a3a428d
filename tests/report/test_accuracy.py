import math
import threading
import time

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.report.accuracy import Tally, executor_predict, measure, percent, ranking, side_by_side
from programs import random_pixels, random_program

LOGITS = np.array([[5, 1, 2], [1, 4, 2], [0, 0, 9], [7, 7, 1]])
FEATURES = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def batches(labels, size=2):
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    for start in range(0, 4, size):
        yield pixels[start : start + size], np.array(labels[start : start + size])


def lookup(logits, features):
    return lambda pixels: (logits[pixels.ravel()], features[pixels.ravel()])


def measured(labels=(0, 1, 2, 1), exact=None, **more):
    options = {
        "total": 4,
        "photo_classes": ("a", "b", "c"),
        "model_classes": ("a", "b", "c"),
        "outputs": 3,
        **more,
    }
    return measure(lookup(LOGITS, FEATURES), exact, batches(labels), **options)


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


def test_equal_features_have_no_noise():
    assert measured(exact=lookup(LOGITS, FEATURES)).sqnr_db == math.inf


def test_unlabelled_photos():
    found = measured(labels=(-1, -1, -1, -1), exact=lookup(LOGITS, FEATURES), photo_classes=())
    assert (found.top1, found.agreement, found.confusion) == (None, 100.0, None)


def test_a_model_without_a_head():
    found = measured(exact=lookup(LOGITS, FEATURES), outputs=0)
    assert (found.top1, found.agreement, found.sqnr_db) == (None, None, math.inf)
    assert "no head" in found.notes[0]


def test_classes_are_matched_by_name():
    found = measured(labels=(2, 1, 0, 1), photo_classes=("c", "b", "a"))
    assert found.top1 == 75.0


def test_top5():
    logits = np.eye(8)[[0, 1, 2, 3]] * 9 - np.arange(8)
    found = measure(
        lookup(logits, FEATURES), None, batches((0, 7, 4, 3)), total=4, photo_classes=tuple("abcdefgh"),
        model_classes=(), outputs=8,
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
    assert Tally(3, None).sqnr_db is None


def test_side_by_side_keeps_the_order_and_reads_no_further_than_needed():
    read = []

    def items():
        for index in range(20):
            read.append(index)
            yield index

    def work(index):
        time.sleep(0.002 * (index % 3))
        return index, threading.current_thread().name

    found = []
    for index, name in side_by_side(work, items(), 3):
        found.append(index)
        assert len(read) <= len(found) + 4
        assert name != threading.main_thread().name
    assert found == list(range(20))


def test_side_by_side_prepares_each_thread_and_passes_errors_on():
    prepared = []
    list(side_by_side(str, range(4), 2, lambda: prepared.append(threading.get_ident())))
    assert 1 <= len(prepared) <= 2
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda x: 1 // x, [1, 0, 1], 2))
