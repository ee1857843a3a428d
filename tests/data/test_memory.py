"""Photos in every form that people hold them: the same photo gives the same pixels, whatever it comes in."""

import numpy as np
import pytest
from PIL import Image

from p2vit.data.folder import ImageFolder
from p2vit.data.memory import MemoryPhotos, is_single_photo, to_photo_source
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

torch = pytest.importorskip("torch")
PRE = Preprocessing(image_size=(8, 10), resize="crop", crop_pct=0.8, interpolation="bicubic")
RNG = np.random.default_rng(5)
ARRAYS = RNG.integers(0, 256, (5, 13, 17, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("source")
    for index, array in enumerate(ARRAYS):
        Image.fromarray(array).save(place / f"{index}.png")
    return place


class Yields:
    """An iterable that can be read once at a time, and has no places."""

    def __init__(self, *elements):
        self.elements = elements
        self.read = 0

    def __iter__(self):
        for element in self.elements:
            self.read += 1
            yield element


CHANNELS_FIRST = torch.from_numpy(ARRAYS).permute(0, 3, 1, 2)
FORMS = {
    "folder": lambda folder: folder,
    "folder by name": lambda folder: str(folder),
    "paths": lambda folder: sorted(folder.iterdir()),
    "names": lambda folder: [str(path) for path in sorted(folder.iterdir())],
    "PIL images": lambda folder: [Image.fromarray(array) for array in ARRAYS],
    "array": lambda folder: ARRAYS,
    "arrays": lambda folder: list(ARRAYS),
    "tensor": lambda folder: CHANNELS_FIRST,
    "tensor, channels last": lambda folder: torch.from_numpy(ARRAYS),
    "tensors": lambda folder: list(CHANNELS_FIRST),
    "float tensor of ToTensor": lambda folder: CHANNELS_FIRST.float() / 255,
    "float tensor of whole numbers": lambda folder: CHANNELS_FIRST.float(),
    "float64 array": lambda folder: ARRAYS / 255,
    "bfloat16 tensor": lambda folder: CHANNELS_FIRST.bfloat16(),
    "generator": lambda folder: (array for array in ARRAYS),
    "loader of batches": lambda folder: torch.utils.data.DataLoader(CHANNELS_FIRST, batch_size=2),
    "loader with labels": lambda folder: torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(CHANNELS_FIRST, torch.tensor(LABELS)), batch_size=2
    ),
    "pairs": lambda folder: list(zip(ARRAYS, LABELS, strict=True)),
    "rows": lambda folder: [{"image": Image.fromarray(a), "label": k} for a, k in zip(ARRAYS, LABELS, strict=True)],
    "row of batches": lambda folder: Yields({"pixel_values": CHANNELS_FIRST[:2]}, {"pixel_values": CHANNELS_FIRST[2:]}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_pixels_of_the_files(form, folder):
    source = to_photo_source(FORMS[form](folder), PRE)
    assert isinstance(source, PhotoSource)
    wanted = np.concatenate([pixels for pixels, _ in ImageFolder(folder, PRE).evaluation()])
    got = np.concatenate([pixels for pixels, _ in source.evaluation(batch_size=2)])
    assert np.array_equal(got, wanted)
    assert got.dtype == np.uint8
    assert len(source) == 5


@pytest.mark.parametrize("form", ["paths", "PIL images", "array", "tensor", "pairs"])
def test_what_has_places_is_calibrated_as_the_folder_is(form, folder):
    wanted = np.concatenate(list(ImageFolder(folder, PRE).calibration(3, seed=7)))
    taken = np.concatenate(list(to_photo_source(FORMS[form](folder), PRE).calibration(3, seed=7)))
    assert np.array_equal(taken, wanted)


def test_an_iterable_is_calibrated_on_its_first_photos_and_read_no_further():
    stream = Yields(*ARRAYS)
    source = to_photo_source(stream, PRE)
    first = np.concatenate(list(source.calibration(2, seed=7)))
    assert stream.read == 2
    assert np.array_equal(
        first, np.concatenate([p for p, _ in to_photo_source(ARRAYS[:2], PRE).evaluation()])
    )
    assert len(source) == 5  # the rest is read when it is needed
    assert source.name == "5 photos in memory"


@pytest.mark.parametrize("form", ["loader with labels", "pairs", "rows"])
def test_labels_come_with_the_photos(form, folder):
    source = to_photo_source(FORMS[form](folder), PRE)
    assert [label for _, labels in source.evaluation() for label in labels.tolist()] == LABELS
    assert (source.classes, source.numbered) == (("0", "1", "2"), True)


def test_labels_beside_the_photos():
    source = to_photo_source(ARRAYS, PRE, labels=torch.tensor(LABELS))
    assert source.labels_of(source.order()).tolist() == LABELS
    named = to_photo_source(ARRAYS, PRE, labels=["cat", "ant", "bee", "bee", "cat"])
    assert (named.classes, named.numbered) == (("ant", "bee", "cat"), False)
    assert named.labels_of(named.order()).tolist() == [2, 0, 1, 1, 2]
    with pytest.raises(DataError, match=r"^2 labels for 5 photos, but each photo needs one$"):
        to_photo_source(ARRAYS, PRE, labels=[1, 2])
    with pytest.raises(DataError, match=r"labels must be integers from 0, or class names, not 0\.5"):
        to_photo_source(ARRAYS, PRE, labels=[0.5] * 5)


def test_a_data_set_names_its_classes():
    class Named(torch.utils.data.TensorDataset):
        classes = ("ant", "bee", "cat")

    loader = torch.utils.data.DataLoader(Named(CHANNELS_FIRST, torch.tensor(LABELS)), batch_size=3)
    source = to_photo_source(loader, PRE)
    assert source.labels_of(source.order()).tolist() == LABELS
    assert (source.classes, source.numbered) == (("ant", "bee", "cat"), False)


def test_prepared_pixels_are_taken_as_they_are():
    pixels = RNG.integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    taken = next(iter(to_photo_source(pixels, PRE, prepared=True).evaluation()))[0]
    assert np.array_equal(taken, pixels)
    # Without it, an array is a photo like any other: scaled up to the crop's margin, and cut.
    assert not np.array_equal(next(iter(to_photo_source(pixels, PRE).evaluation()))[0], pixels)
    with pytest.raises(
        DataError, match=r"photo 0: prepared pixels must be \[8, 10, 3\] for this model, not \[13, 17, 3\]"
    ):
        list(to_photo_source(ARRAYS, PRE, prepared=True).evaluation())


def test_a_folder_in_a_list(folder):
    with pytest.raises(DataError, match="is a folder; pass it alone, not in a list"):
        to_photo_source([folder], PRE)
    with pytest.raises(
        DataError, match="labels= is only for a list of photos; a folder has one subfolder per class"
    ):
        to_photo_source(folder, PRE, labels=[1])


def test_photos_that_cannot_be_read(folder, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")
    paths = [folder / "0.png", broken]
    with pytest.raises(DataError, match=r"broken\.png"):
        list(to_photo_source(paths, PRE).evaluation())
    source = to_photo_source(paths, PRE, strict=False)
    assert sum(len(pixels) for pixels, _ in source.evaluation()) == 1
    assert [file for file, _ in source.skipped] == [str(broken)]
    assert sum(map(len, source.calibration(2))) == 1
    with pytest.raises(DataError, match=r"needs at least 1 readable photo: .*broken"):
        list(to_photo_source([broken], PRE, strict=False).calibration(1))
    with pytest.raises(DataError, match="calibration needs at least 1 photo, not 0"):
        list(source.calibration(0))


def test_single_photos(folder):
    single = (folder / "0.png", str(folder / "0.png"), Image.new("RGB", (3, 3)), ARRAYS[0], CHANNELS_FIRST[0])
    assert all(is_single_photo(photo) for photo in single)
    several = (folder, "noise", ARRAYS, CHANNELS_FIRST, [ARRAYS[0]], Yields(ARRAYS[0]))
    assert not any(is_single_photo(photos) for photos in several)


def test_a_source_is_returned(folder):
    source = ImageFolder(folder, PRE)
    assert to_photo_source(source, PRE) is source
    source = MemoryPhotos(ARRAYS, PRE)
    assert to_photo_source(source, PRE) is source
    assert source.title(3) == "photo 3"


READY = RNG.integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pre", "warns"),
    [
        (PRE, True),
        (Preprocessing(image_size=(8, 10), resize="squash", scale_to=(10, 12)), True),
        (Preprocessing(image_size=(8, 10), resize="squash"), False),
        (Preprocessing(image_size=(8, 10), resize="none"), False),
        (Preprocessing(image_size=(8, 10), resize="crop", crop_pct=1.0), False),
    ],
    ids=["crop", "squash and crop", "squash", "none", "crop of all"],
)
@pytest.mark.parametrize("form", ["array", "tensor", "loader"])
def test_a_second_resize_of_ready_pixels_is_said_once(recwarn, pre, warns, form):
    tensor = torch.from_numpy(READY).permute(0, 3, 1, 2)
    photos = {"array": READY, "tensor": tensor.float() / 255, "loader": Yields(tensor, tensor)}[form]
    list(to_photo_source(photos, pre).evaluation())
    said = [str(each.message) for each in recwarn if "prepared=True" in str(each.message)]
    assert len(said) == int(warns)


def test_nothing_is_said_of_ready_pixels_that_are_taken_as_they_are(recwarn):
    pixels, _ = next(to_photo_source(READY, PRE, prepared=True).evaluation())
    assert np.array_equal(pixels, READY)
    assert not recwarn


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.zeros(2, 3, 8, 10, device="meta"), "meta"),
        (torch.zeros(2, 3, 8, 10).to_sparse(), "sparse_coo"),
    ],
)
def test_a_tensor_without_pixels_is_refused(tensor, kind):
    with pytest.raises(DataError, match=f"a {kind} tensor holds no pixels"):
        to_photo_source(tensor, PRE)
