import numpy as np
import pytest
from PIL import Image

from p2vit.data.folder import ImageFolder
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

PRE = Preprocessing(image_size=(4, 4))


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value, value, value)).save(path)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(["ant", "bee"]):
        for i in range(5):
            write(tmp_path / name / f"{i}.png", 100 * label + i)
    return tmp_path


def values(batches):
    return [int(p[0, 0, 0]) for batch in batches for p in batch]


def test_classes_labels_and_order(folder):
    photos = ImageFolder(folder, PRE)
    assert isinstance(photos, PhotoSource)
    assert photos.classes == ("ant", "bee")
    batches = list(photos.evaluation(batch_size=4))
    assert [len(p) for p, _ in batches] == [4, 4, 2]
    assert np.concatenate([y for _, y in batches]).tolist() == [0] * 5 + [1] * 5
    assert values(p for p, _ in batches) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]


def test_limit_meets_every_class(folder):
    (_, labels), *_ = ImageFolder(folder, PRE).evaluation(limit=4)
    assert labels.tolist() == [0, 0, 1, 1]


def test_flat_folder_has_no_labels(folder):
    photos = ImageFolder(folder / "ant", PRE)
    assert photos.classes == ()
    assert next(photos.evaluation())[1].tolist() == [-1] * 5


def test_calibration_is_seeded_and_without_replacement(folder):
    photos = ImageFolder(folder, PRE)
    first = values(photos.calibration(6, seed=1))
    assert first == values(photos.calibration(6, seed=1, batch_size=2))
    assert first != values(photos.calibration(6, seed=2))
    assert len(set(first)) == 6
    assert len(values(photos.calibration(99))) == 10


def test_bad_photos_are_skipped_named_and_replaced(folder):
    (folder / "ant" / "0.png").write_bytes(b"broken")
    photos = ImageFolder(folder, PRE)
    assert len(values(photos.calibration(9))) == 9
    list(photos.evaluation())
    assert [path for path, _ in photos.skipped] == [str(folder / "ant" / "0.png")]
    with pytest.raises(DataError, match=r"0\.png"):
        list(ImageFolder(folder, PRE, strict=True).evaluation())


def test_only_bad_photos(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 photos"):
        list(ImageFolder(tmp_path, PRE).evaluation())


def test_missing_empty_and_wrong_folders(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere", PRE)
    with pytest.raises(DataError, match="contains no photos"):
        ImageFolder(tmp_path, PRE)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataError, match="is a file, but must be a folder"):
        ImageFolder(tmp_path / "file.txt", PRE)


def test_hidden_and_foreign_files_are_passed_over(folder):
    write(folder / ".thumbs" / "x.png", 9)
    (folder / "ant" / "notes.txt").write_text("x")
    write(folder / "ant" / "deeper" / "y.PNG", 50)
    photos = ImageFolder(folder, PRE)
    assert photos.classes == ("ant", "bee")
    assert len(photos) == 11


def test_calibration_needs_a_photo(folder):
    with pytest.raises(DataError, match="at least 1"):
        list(ImageFolder(folder, PRE).calibration(0))


def labelled(folder, text, **more):
    from p2vit.data.labels import read_labels

    (folder / "labels.csv").write_text(text)
    return ImageFolder(folder, PRE, table=read_labels(folder / "labels.csv"), **more)


def test_a_label_file_decides_instead_of_subfolders(folder):
    write(folder / "top.png", 7)
    photos = labelled(folder, "ant/0.png,x\nbee/1.png,y\ntop,x\nnowhere.png,z\n")
    assert photos.classes == ("x", "y", "z")
    names = [path.relative_to(folder).as_posix() for path in photos.paths]
    assert names == [*(f"ant/{i}.png" for i in range(5)), *(f"bee/{i}.png" for i in range(5)), "top.png"]
    assert photos.labels.tolist() == [0, -1, -1, -1, -1, -1, 1, -1, -1, -1, 0]
    assert photos.labels_of(np.array([6, 0])).tolist() == [1, 0]
    assert "8 photos have no label" in photos.notes[0]
    assert "1 labels of" in photos.notes[1]
    assert (photos.numbered, photos.listed) == (False, False)


def test_a_list_of_labels_goes_by_the_photos_names(folder):
    photos = labelled(folder / "ant", "3\n0\n3\n1\n1\n")
    assert (photos.classes, photos.numbered, photos.listed) == (("0", "1", "3"), True, True)
    assert photos.labels.tolist() == [2, 0, 2, 1, 1]
    with pytest.raises(DataError, match=r"is a list of 4 labels without file names, but .* has 5 photos"):
        labelled(folder / "ant", "3\n0\n3\n1\n")


def test_a_label_file_of_other_photos(folder, tmp_path):
    with pytest.raises(DataError, match=r"none of its 2 files \(x\.png, y\.png"):
        labelled(folder, "x.png,1\ny.png,2\n")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="contains no photos"):
        labelled(tmp_path / "none", "x.png,1\n")


def test_photos_by_number(folder):
    photos = ImageFolder(folder, PRE)
    assert photos.order(4).tolist() == [0, 2, 5, 7]
    assert int(photos.photo(5)[0, 0, 0]) == 100
    assert photos.title(5) == str(folder / "bee" / "0.png")
    drawn = [int(photos.photo(number)[0, 0, 0]) for number in photos.drawn(1)[:6]]
    assert drawn == values(photos.calibration(6, seed=1))
