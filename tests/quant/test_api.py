from dataclasses import replace

import numpy as np
import pytest

from p2vit.errors import DataError, ModelError
from p2vit.program.format import program_sha256
from p2vit.quant.api import quantize, simulated
from p2vit.quant.config import METHODS, OURS, WITHOUT
from p2vit.quant.pipeline import simulate
from support.tiny import float_model


def test_same_inputs_same_program_whatever_the_threads(tiny_model, photos):
    programs = [quantize(tiny_model, [photos], threads=n).program for n in (1, 2, 3)]
    assert len({program_sha256(program) for program in programs}) == 1


def test_batches_of_photos_do_not_matter(tiny_model, photos):
    whole = quantize(tiny_model, [photos], threads=2)
    parts = quantize(tiny_model, np.array_split(photos, 5), threads=2)
    assert program_sha256(whole.program) == program_sha256(parts.program)
    assert whole.photos == parts.photos == 16


def test_one_photo_is_enough(tiny_model, photos):
    result = quantize(tiny_model, [photos[:1]], threads=2)
    assert result.photos == 1
    assert [row["name"] for row in result.blocks] == ["embedding", "blocks.0", "blocks.1"]


def test_no_photo_and_simulated_methods_are_refused(tiny_model, photos):
    with pytest.raises(DataError, match="no calibration photo could be read"):
        quantize(tiny_model, [])
    with pytest.raises(ModelError, match=r"have no integer program.*--method p2vit"):
        quantize(tiny_model, [photos], METHODS["paper"])


@pytest.mark.parametrize("name", [*METHODS, *WITHOUT])
def test_every_method_runs(name, photos):
    model = float_model(depth=1)
    config = {**METHODS, **WITHOUT}[name]
    logits, feature = simulate(simulated(model, [photos], config, threads=2), photos, 2)
    assert logits.shape == (16, 5)
    assert bool(np.isfinite(feature.numpy()).all())


def test_progress_and_provenance(tiny_model, photos):
    seen = []
    result = quantize(
        tiny_model,
        [photos],
        replace(OURS, weight_bits=4),
        progress=lambda *step: seen.append(step),
        calibration="folder",
    )
    assert seen[0] == ("calibrate", 0, 1)
    assert seen[-1] == ("blocks", 2, 2)
    assert result.program.provenance["method"]["weight_bits"] == 4
    assert result.program.provenance["calibration"] == {"photos": 16, "source": "folder", "seed": 0}
