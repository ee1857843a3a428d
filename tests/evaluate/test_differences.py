import numpy as np

from p2vit.evaluate.differences import MOST_DIFFERENT, most_different
from p2vit.evaluate.records import Records


class Photos:
    classes = ("cat", "dog")

    def title(self, number):
        return f"photo {number}"


def records(count, **more):
    return Records(
        np.arange(count),
        np.arange(count) % 2,
        np.zeros((count, 2), np.int64),
        np.zeros((count, 2), np.int64),
        signal=np.full(count, 100.0),
        noise=np.arange(count, dtype=float),
        **more,
    )


def test_other_classes_come_first_and_then_the_noisiest():
    found = records(20)
    found.ranked_float[[3, 7], 0] = 1
    rows = most_different(found, np.arange(100, 120), Photos(), ("cat", "dog"))
    assert len(rows) == MOST_DIFFERENT
    assert [row.number for row in rows[:4]] == [107, 103, 119, 118]
    assert rows[0].photo == "photo 107"
    assert (rows[0].true, rows[0].predicted, rows[0].predicted_float) == ("dog", "cat", "dog")
    assert rows[0].sqnr_db == round(10 * np.log10(100 / 7), 2)


def test_equal_features_have_no_sqnr():
    rows = most_different(records(2), np.arange(2), Photos(), ("cat", "dog"))
    assert [row.sqnr_db for row in rows] == [20.0, None]


def test_without_a_head_only_features_count():
    none = np.zeros((3, 0), np.int64)
    found = Records(
        np.arange(3), np.full(3, -1), none, none, signal=np.ones(3), noise=np.array([0.1, 0.3, 0.2])
    )
    rows = most_different(found, np.arange(3), Photos(), ())
    assert [row.number for row in rows] == [1, 2, 0]
    assert {row.predicted for row in rows} == {row.true for row in rows} == {None}


def test_without_a_float_model_nothing_differs():
    none = np.zeros(1, np.int64)
    assert most_different(Records(none, none, none[:, None]), none, Photos(), ("cat",)) == []
