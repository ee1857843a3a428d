import numpy as np
import pytest

from p2vit.errors import DataError
from p2vit.evaluate.features import check_disjoint, judge
from p2vit.evaluate.neighbours import Gallery
from p2vit.evaluate.records import Records


class Photos:
    name = "gallery"
    classes = ("bee", "ant", "cat")


def records(voted, labels, **more):
    count = len(labels)
    return Records(
        np.arange(count), np.array(labels), np.zeros((count, 0), np.int64), voted=np.array(voted), **more
    )


GALLERY = Gallery(np.eye(4), np.array([0, 1, 2, 0]), k=3)


def test_votes_are_matched_by_the_classes_names():
    found, notes = judge(
        records([1, 0, 1, 2], [0, 1, 1, -1], voted_float=np.array([1, 0, 0, 0])),
        [GALLERY, GALLERY],
        Photos(),
        ("ant", "bee"),
    )
    assert (found.knn_top1, found.knn_top1_float, found.knn_agreement) == (66.67, 100.0, 50.0)
    assert (found.k, found.gallery_images, found.gallery, found.temperature) == (3, 4, "gallery", 0.07)
    assert "so 3 neighbours vote instead of 20" in notes[0]


def test_a_class_that_the_gallery_lacks_counts_as_wrong():
    found, notes = judge(records([1, 1], [0, 1]), [GALLERY, None], Photos(), ("ant", "dog"))
    assert (found.knn_top1, found.knn_top1_float) == (50.0, None)
    assert "1 of the photos' classes are not in the gallery" in notes[1]
    with pytest.raises(
        DataError, match=r"its classes \(bee, ant, cat, \.\.\.\) are not the photos' \(dog, elk"
    ):
        judge(records([1], [0]), [GALLERY, None], Photos(), ("dog", "elk"))


def test_without_a_gallery_there_is_the_cosine():
    own = Records(
        np.arange(2), np.zeros(2, np.int64), np.zeros((2, 0), np.int64), cosine=np.array([0.5, 1.0])
    )
    found, notes = judge(own, [None, None], None, ())
    assert (found.cosine_mean, found.cosine_min, found.knn_top1) == (0.75, 0.5, None)
    assert "--gallery DIR" in notes[0]


def test_folders_must_not_overlap(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    check_disjoint(tmp_path / "c", tmp_path / "a", "x")
    for own, other in (("a", "a"), ("a/b", "a"), ("a", "a/b"), ("link", "a"), ("link/b", "a")):
        with pytest.raises(DataError, match="none inside the other"):
            check_disjoint(tmp_path / own, tmp_path / other, "the gallery")
