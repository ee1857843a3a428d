"""Photos in every form that people hold them: the same photo gives the same pixels, whatever it comes in."""

import numpy as np
import pytest
from PIL import Image

from p2vit.data.folder import ImageFolder
from p2vit.data.held import HeldPhotos, hold, is_single
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
    place = tmp_path_factory.mktemp("held")
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
    held = hold(FORMS[form](folder), PRE)
    assert isinstance(held, PhotoSource)
    wanted = np.concatenate([pixels for pixels, _ in ImageFolder(folder, PRE).evaluation()])
    got = np.concatenate([pixels for pixels, _ in held.evaluation(batch_size=2)])
    assert np.array_equal(got, wanted)
    assert got.dtype == np.uint8
    assert len(held) == 5


@pytest.mark.parametrize("form", ["paths", "PIL images", "array", "tensor", "pairs"])
def test_what_has_places_is_calibrated_as_the_folder_is(form, folder):
    wanted = np.concatenate(list(ImageFolder(folder, PRE).calibration(3, seed=7)))
    assert np.array_equal(np.concatenate(list(hold(FORMS[form](folder), PRE).calibration(3, seed=7))), wanted)


def test_an_iterable_is_calibrated_on_its_first_photos_and_read_no_further():
    stream = Yields(*ARRAYS)
    held = hold(stream, PRE)
    first = np.concatenate(list(held.calibration(2, seed=7)))
    assert stream.read == 2
    assert np.array_equal(first, np.concatenate([p for p, _ in hold(ARRAYS[:2], PRE).evaluation()]))
    assert len(held) == 5  # the rest is read when it is needed
    assert held.name == "5 photos in memory"


@pytest.mark.parametrize("form", ["loader with labels", "pairs", "rows"])
def test_labels_come_with_the_photos(form, folder):
    held = hold(FORMS[form](folder), PRE)
    assert [label for _, labels in held.evaluation() for label in labels.tolist()] == LABELS
    assert (held.classes, held.numbered) == (("0", "1", "2"), True)


def test_labels_beside_the_photos():
    held = hold(ARRAYS, PRE, labels=torch.tensor(LABELS))
    assert held.labels_of(held.order()).tolist() == LABELS
    named = hold(ARRAYS, PRE, labels=["cat", "ant", "bee", "bee", "cat"])
    assert (named.classes, named.numbered) == (("ant", "bee", "cat"), False)
    assert named.labels_of(named.order()).tolist() == [2, 0, 1, 1, 2]
    with pytest.raises(DataError, match=r"^2 labels for 5 photos; one per photo is needed$"):
        hold(ARRAYS, PRE, labels=[1, 2])
    with pytest.raises(DataError, match=r"labels are whole numbers from 0 or names; not 0\.5"):
        hold(ARRAYS, PRE, labels=[0.5] * 5)


def test_a_data_set_names_its_classes():
    class Named(torch.utils.data.TensorDataset):
        classes = ("ant", "bee", "cat")

    loader = torch.utils.data.DataLoader(Named(CHANNELS_FIRST, torch.tensor(LABELS)), batch_size=3)
    held = hold(loader, PRE)
    assert held.labels_of(held.order()).tolist() == LABELS
    assert (held.classes, held.numbered) == (("ant", "bee", "cat"), False)


def test_prepared_pixels_are_taken_as_they_are():
    pixels = RNG.integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    taken = next(iter(hold(pixels, PRE, prepared=True).evaluation()))[0]
    assert np.array_equal(taken, pixels)
    # Without it, an array is a photo like any other: scaled up to the crop's margin, and cut.
    assert not np.array_equal(next(iter(hold(pixels, PRE).evaluation()))[0], pixels)
    with pytest.raises(
        DataError, match=r"photo 0: prepared pixels are \[8, 10, 3\] for this model, not \[13, 17, 3\]"
    ):
        list(hold(ARRAYS, PRE, prepared=True).evaluation())


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (ARRAYS.astype(np.int64), "photos are uint8, 0 to 255, not int64"),
        (ARRAYS / 127.5 - 1, "float pixels from -1 to 1 can mean several things. Give uint8"),
        (CHANNELS_FIRST.float() * 1.5, "can mean several things"),
        (np.zeros((2, 5, 5, 3)), "float pixels from 0 to 0 can mean several things"),
        (ARRAYS[0, 0], r"an array of photos is \[H, W, 3\] or \[N, H, W, 3\], not \[17, 3\]"),
        (ARRAYS.transpose(0, 3, 1, 2), r"an array of photos is \[H, W, 3\] or \[N, H, W, 3\], not \[5, 3, 13, 17\]"),
        (CHANNELS_FIRST[:, :2], r"a tensor of photos is \[3, H, W\], \[N, 3, H, W\], .* not \[5, 2, 13, 17\]"),
        (CHANNELS_FIRST[..., :3], "it does not show which axis holds the three colours"),
        (3, "not int"),
        ([3.5], "not float"),
        ([{"text": 1}], "a row with text has no image; expected is image"),
        (["nowhere.png"], "nowhere.png: no such photo"),
        ("nowhere", r"nowhere: there is no such photo or folder, and no benchmark of that name \(elpv"),
    ],
)  # fmt: skip
def test_what_is_not_clearly_a_photo_is_refused(photos, message):
    with pytest.raises(DataError, match=message):
        list(hold(photos, PRE).evaluation())


def test_a_folder_in_a_list(folder):
    with pytest.raises(DataError, match="is a folder; give it alone, not in a list"):
        hold([folder], PRE)
    with pytest.raises(
        DataError, match="labels are for a list of photos; a folder has one subfolder per class"
    ):
        hold(folder, PRE, labels=[1])


def test_photos_that_cannot_be_read(folder, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no photo")
    paths = [folder / "0.png", broken]
    with pytest.raises(DataError, match=r"broken\.png"):
        list(hold(paths, PRE).evaluation())
    held = hold(paths, PRE, strict=False)
    assert sum(len(pixels) for pixels, _ in held.evaluation()) == 1
    assert [file for file, _ in held.skipped] == [str(broken)]
    assert sum(map(len, held.calibration(2))) == 1
    with pytest.raises(DataError, match=r"no photo to calibrate on: .*broken"):
        list(hold([broken], PRE, strict=False).calibration(1))
    with pytest.raises(DataError, match="calibration needs at least 1 photo, not 0"):
        list(held.calibration(0))


def test_single_photos(folder):
    single = (folder / "0.png", str(folder / "0.png"), Image.new("RGB", (3, 3)), ARRAYS[0], CHANNELS_FIRST[0])
    assert all(is_single(photo) for photo in single)
    several = (folder, "noise", ARRAYS, CHANNELS_FIRST, [ARRAYS[0]], Yields(ARRAYS[0]))
    assert not any(is_single(photos) for photos in several)


def test_a_source_is_returned(folder):
    source = ImageFolder(folder, PRE)
    assert hold(source, PRE) is source
    held = HeldPhotos(ARRAYS, PRE)
    assert hold(held, PRE) is held
    assert held.title(3) == "photo 3"


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
    list(hold(photos, pre).evaluation())
    said = [str(each.message) for each in recwarn if "prepared=True" in str(each.message)]
    assert len(said) == int(warns)


def test_nothing_is_said_of_ready_pixels_that_are_taken_as_they_are(recwarn):
    pixels, _ = next(hold(READY, PRE, prepared=True).evaluation())
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
        hold(tensor, PRE)
