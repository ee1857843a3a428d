import numpy as np
import pytest

from p2vit.evaluate import neighbours
from p2vit.evaluate.neighbours import Gallery, fixed_point


def clusters(count, seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((4, 24))
    labels = rng.integers(0, 4, count)
    return centres[labels] * rng.uniform(0.5, 3, (count, 1)) + 0.9 * rng.standard_normal((count, 24)), labels


def test_as_scikit_learn_does_it():
    sklearn = pytest.importorskip("sklearn.neighbors")
    features, labels = clusters(150, 0)
    queries, truth = clusters(60, 1)
    peer = sklearn.KNeighborsClassifier(
        n_neighbors=20,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    ).fit(features, labels)
    found = Gallery(features, labels).vote(queries)
    assert np.array_equal(found, peer.predict(queries))
    assert (found == truth).mean() > 0.8


def test_a_vote_by_hand():
    features = np.array([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6], [-1.0, 0.0]])
    # Weights exp(s / 0.07): one photo at similarity 1 beats two at 0.8, whose weight is e^-2.86 of it each.
    assert Gallery(features, np.array([2, 0, 0, 1]), k=3).vote(np.array([[5.0, 0.0]])).tolist() == [2]
    places, similar = Gallery(features, np.array([2, 0, 0, 1]), k=3).neighbours(np.array([[5.0, 0.0]]))
    assert places.tolist() == [[0, 1, 2]]  # equally near: the first in the gallery first
    assert np.allclose(similar, [[1, 0.8, 0.8]], atol=2e-6)


def test_chunks_of_the_gallery_change_nothing(monkeypatch):
    features, labels = clusters(100, 2)
    queries, _ = clusters(30, 3)
    whole = Gallery(features, labels, k=7).neighbours(queries)
    monkeypatch.setattr(neighbours, "CHUNK", 13)
    parts = Gallery(features, labels, k=7).neighbours(queries)
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def test_similarities_are_exact_integers():
    features, labels = clusters(50, 4)
    gallery = Gallery(features, labels, k=50)
    wide = fixed_point(features).astype(object)
    places, similar = gallery.neighbours(features[:3])
    for row in range(3):
        for place, value in zip(places[row], similar[row], strict=True):
            assert value == float(sum(wide[row] * wide[place])) * 2.0**-40


def test_small_and_wrong_galleries():
    assert Gallery(np.eye(3), np.arange(3), k=20).k == 3
    with pytest.raises(ValueError, match="at least one of each"):
        Gallery(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert fixed_point(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
