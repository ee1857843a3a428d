"""The default number of calibration photos depends on the width of the weights."""

import numpy as np
import pytest

import p2vit
from p2vit.errors import P2vitError
from p2vit.workflows.options.quantize import QuantizeOptions
from p2vit.workflows.quantize import photo_count, run_quantize


@pytest.mark.parametrize(
    ("bits", "photos"), [("w8a8", 32), ("w7a8", 32), ("w6a8", 128), ("w4a8", 128), ("w2a8", 128)]
)
def test_narrow_weights_get_more_photos(bits, photos):
    assert photo_count(QuantizeOptions(bits=bits)) == photos
    assert photo_count(QuantizeOptions(bits=bits, calib_images=7)) == 7


def test_an_unknown_width_is_refused_first():
    with pytest.raises(P2vitError, match="--bits 'w9a8'"):
        photo_count(QuantizeOptions(bits="w9a8"))


@pytest.mark.parametrize(("bits", "photos"), [("w8a8", 32), ("w4a8", 128)])
def test_the_command_uses_and_records_the_default(bits, photos, tmp_path):
    result = run_quantize("digits", "digits", tmp_path / "out", bits=bits, threads=1)
    assert result["calibration_images"] == photos
    assert (
        run_quantize("digits", "digits", tmp_path / "dry", bits=bits, dry_run=True)["calibration_images"]
        == photos
    )


def test_a_shorter_list_in_python_is_used_whole(recwarn):
    photos = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    program = p2vit.quantize("digits", photos, bits="w4a8", prepared=True, threads=1, progress=False)
    assert program.program.provenance["calibration"]["photos"] == 9
    assert not [warning for warning in recwarn if "there are only" in str(warning.message)]
