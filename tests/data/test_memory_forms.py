"""Forms of photos that are refused, because they are unknown or ambiguous."""

import numpy as np
import pytest

from p2vit.data.memory import to_photo_source
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

torch = pytest.importorskip("torch")
PRE = Preprocessing(image_size=(8, 10), resize="crop", crop_pct=0.8, interpolation="bicubic")
ARRAYS = np.random.default_rng(5).integers(0, 256, (5, 13, 17, 3), dtype=np.uint8)
CHANNELS_FIRST = torch.from_numpy(ARRAYS).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (ARRAYS.astype(np.int64), "photos must be uint8, 0 to 255, not int64"),
        (ARRAYS / 127.5 - 1, "float pixels from -1 to 1 are ambiguous. Pass uint8"),
        (CHANNELS_FIRST.float() * 1.5, "are ambiguous"),
        (np.zeros((2, 5, 5, 3)), "float pixels from 0 to 0 are ambiguous"),
        (ARRAYS[0, 0], r"an array of photos must be \[H, W, 3\] or \[N, H, W, 3\], not \[17, 3\]"),
        (ARRAYS.transpose(0, 3, 1, 2), r"an array of photos must be .*, not \[5, 3, 13, 17\]"),
        (CHANNELS_FIRST[:, :2], r"a tensor of photos must be \[3, H, W\], \[N, 3, H, W\], .* not \[5, 2, 13, 17\]"),
        (CHANNELS_FIRST[..., :3], "could be the three colours"),
        (3, "not int"),
        ([3.5], "not float"),
        ([{"text": 1}], "a row with the keys text has no image; allowed keys: image"),
        (["nowhere.png"], "nowhere.png: no such photo"),
        ("nowhere", r"nowhere: no such photo or folder, and no benchmark of that name \(elpv"),
    ],
)  # fmt: skip
def test_what_is_not_clearly_a_photo_is_refused(photos, message):
    with pytest.raises(DataError, match=message):
        list(to_photo_source(photos, PRE).evaluation())
