import threading
import time

import numpy as np
import pytest
from PIL import Image

from p2vit.data.folder import ImageFolder
from p2vit.data.loader import load_batches, side_by_side
from p2vit.data.noise import NoisePhotos
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

PRE = Preprocessing(image_size=(4, 4))


@pytest.fixture
def folder(tmp_path):
    for index in range(11):
        Image.new("RGB", (4, 4), (index, index, index)).save(tmp_path / f"{index:02}.png")
    (tmp_path / "03.png").write_bytes(b"broken")
    return tmp_path


def content(batch):
    return (
        batch.places.tolist(),
        batch.pixels[:, :1, 0, 0].ravel().tolist(),
        batch.labels.tolist(),
        batch.skipped,
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_do_not_depend_on_threads_or_shares(folder, workers):
    photos = ImageFolder(folder, PRE)
    order = photos.order()
    whole = [content(batch) for batch in load_batches(photos, order, 3)]
    assert [places for places, *_ in whole] == [[0, 1, 2], [4, 5], [6, 7, 8], [9, 10]]
    assert whole[1][1] == [4, 5]
    assert whole[1][3][0][:2] == (3, str(folder / "03.png"))
    shared = [
        [content(batch) for batch in load_batches(photos, order, 3, workers=workers, share=(rank, 3))]
        for rank in range(3)
    ]
    assert [len(share) for share in shared] == [2, 1, 1]
    assert [shared[0][0], shared[1][0], shared[2][0], shared[0][1]] == whole


def test_a_strict_source_refuses(folder):
    with pytest.raises(DataError, match=r"03\.png: not a photo"):
        list(load_batches(ImageFolder(folder, PRE, strict=True), np.arange(11), 4, workers=2))


def test_a_batch_of_nothing_but_unreadable_photos(folder):
    (batch,) = load_batches(ImageFolder(folder, PRE), np.array([3]), 4)
    assert (len(batch.places), len(batch.skipped)) == (0, 1)


def test_the_same_photos_as_evaluation():
    photos = NoisePhotos(PRE, count=5)
    read = np.concatenate([batch.pixels for batch in load_batches(photos, photos.order(), 2)])
    assert np.array_equal(read, np.concatenate([pixels for pixels, _ in photos.evaluation()]))
    assert photos.title(3) == "noise photo 3"


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
