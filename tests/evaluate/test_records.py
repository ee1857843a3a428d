import numpy as np

from p2vit.data.loader import Batch
from p2vit.evaluate.records import Records, cosines, join, record

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((9, 33))
LOGITS = RNG.standard_normal((9, 7))
EXACT = FEATURES + 0.1 * RNG.standard_normal((9, 33))


def rows(first, count, **more):
    places = np.arange(first, first + count)
    pixels = places.astype(np.uint8).reshape(-1, 1, 1, 1)

    def of(features):
        return lambda pixels: (LOGITS[pixels.ravel()], features[pixels.ravel()])

    exact = of(EXACT) if more.pop("exact", True) else None
    return record(Batch(places, pixels, places % 3), of(FEATURES), exact, has_head=True, **more)


def test_rows_do_not_depend_on_batches():
    whole = rows(0, 9)
    parts = join([rows(5, 4), rows(0, 2), rows(2, 3)])
    for name in ("places", "labels", "ranked", "ranked_float", "signal", "noise", "cosine"):
        assert getattr(whole, name).tobytes() == getattr(parts, name).tobytes(), name


def test_what_is_measured():
    found = rows(2, 3)
    assert np.allclose(found.signal, (EXACT[2:5] ** 2).sum(axis=1))
    assert np.allclose(found.noise, ((EXACT - FEATURES)[2:5] ** 2).sum(axis=1))
    wanted = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for a, b in zip(FEATURES[2:5], EXACT[2:5], strict=True)
    ]
    assert np.allclose(found.cosine, wanted)
    assert found.ranked.shape == (3, 5)
    assert found.voted is None


def test_features_are_kept_where_they_are_asked_for():
    found = join([rows(3, 2, keep=True), rows(0, 3, keep=True)])
    assert np.array_equal(found.features, FEATURES[:5].astype(np.float32))
    assert np.array_equal(found.features_float, EXACT[:5].astype(np.float32))
    assert rows(0, 2).features is None


def test_without_a_float_model():
    found = join([rows(0, 2, exact=False), rows(2, 2, exact=False)])
    assert (found.signal, found.cosine, found.ranked_float) == (None, None, None)


def test_empty_batches_add_nothing():
    none = np.zeros(0, np.int64)
    empty = record(Batch(none, np.zeros((0, 0, 0, 3), np.uint8), none), None, None, has_head=True)
    assert len(join([empty])) == 0
    assert join([empty, rows(0, 2), empty]).signal is not None
    assert isinstance(empty, Records)


def test_cosine_of_nothing_is_zero():
    assert cosines(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [6.0, 8.0]])).tolist() == [
        0.0,
        1.0,
    ]
