import threading

import numpy as np
import pytest

from p2vit.data.noise import NoisePhotos
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import DataError, P2vitError
from p2vit.evaluate import evaluation
from p2vit.evaluate.accuracy import executor_predict
from p2vit.evaluate.evaluation import Job, check_splits, evaluate_photos
from p2vit.evaluate.world import OtherProcessError, World
from support.programs import random_program

PROGRAM = random_program()


class Labelled(NoisePhotos):
    """Noise with five classes, of which every seventh photo is unreadable."""

    strict = False
    classes = ("a", "b", "c", "d", "e")

    def __init__(self, count=23, seed=0):
        super().__init__(PROGRAM.preprocessing, count, seed)
        self.classes = Labelled.classes

    def photo(self, number):
        if number % 7 == 3:
            raise DataError(f"photo {number}: broken")
        return super().photo(number)

    def labels_of(self, numbers):
        return numbers % 5


class Threads(World):
    """Processes of a run as threads of this one: what they share is a dictionary."""

    def __init__(self, rank, size, shared, barrier):
        super().__init__()
        self.rank, self.size, self.shared, self.barrier = rank, size, shared, barrier

    def gather(self, value):
        self.shared[self.rank] = value
        self.barrier.wait(20)
        values = [self.shared[rank] for rank in range(self.size)]
        self.barrier.wait(20)
        return values


def evaluate(world=None, batch_size=4, photos=None, **more):
    predict = executor_predict(PROGRAM, ReferenceExecutor(PROGRAM))

    def exact(pixels):
        logits, features = predict(pixels)
        return logits + 1e-3 * pixels.reshape(len(pixels), -1)[:, :5], features * 1.01

    seen = []
    job = Job(
        PROGRAM,
        predict,
        exact,
        batch_size,
        1,
        2,
        lambda: None,
        world or World(),
        lambda *step: seen.append(step),
    )
    gallery = Labelled(31, seed=5)
    found = evaluate_photos(
        job, photos or Labelled(), feature=True, gallery=(gallery, gallery.order()), k=3, **more
    )
    return found, seen


@pytest.fixture(scope="module")
def alone():
    return evaluate()


def test_figures_of_one_process(alone):
    (accuracy, feature, skipped), seen = alone
    assert accuracy.images == 20
    assert [place for place, _, _ in skipped] == [3, 10, 17]
    assert skipped[0][1:] == ("noise photo 3", "photo 3: broken")
    assert feature.gallery_images == 27
    assert feature.cosine_min == 1.0
    assert accuracy.sqnr_db == 40.09  # 20·log10(1.01 / 0.01)
    assert ("gallery", 31, 31) in seen
    assert seen[-1] == ("evaluate", 23, 23)


@pytest.mark.parametrize("size", [2, 3, 9])
def test_any_number_of_processes_measures_the_same(alone, size):
    shared, barrier, found = {}, threading.Barrier(size), {}

    def one(rank):
        found[rank] = evaluate(Threads(rank, size, shared, barrier))[0]

    ranks = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [found[rank] for rank in range(size)] == [alone[0]] * size


def test_queries_a_few_at_a_time(alone, monkeypatch):
    monkeypatch.setattr(evaluation, "QUERIES", 3)
    assert evaluate()[0] == alone[0]


def test_a_failure_elsewhere_stops_before_the_next_batch():
    class Failed(World):
        def check(self):
            raise OtherProcessError("process 1 of 2: broken")

    with pytest.raises(P2vitError, match="process 1 of 2: broken"):
        evaluate(Failed())


def test_nothing_readable():
    broken = Labelled()
    broken.photo = lambda number: (_ for _ in ()).throw(DataError(f"photo {number}: broken"))
    with pytest.raises(DataError, match="none of the 23 photos could be read: photo 0: broken"):
        evaluate(photos=broken)


def test_parts_of_a_data_set_are_no_classes():
    photos = Labelled()
    photos.classes, photos.paths = ("Train", "val"), []
    with pytest.raises(DataError, match="noise/val"):
        check_splits(photos)
    photos.classes = ("train", "car")
    check_splits(photos)
    assert np.array_equal(photos.order(2), [0, 1])


def test_processes_with_different_galleries_refuse():
    class Other(World):
        size = 2

        def gather(self, value):
            return [value, (value[0], "another digest", value[2], value[3])]

    with pytest.raises(P2vitError, match="processes 0 and 1 have different photos or labels; every machine"):
        evaluate(Other())
