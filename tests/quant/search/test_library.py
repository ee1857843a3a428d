import numpy as np
import pytest

from p2vit.errors import ModelError, P2vitError
from p2vit.program.format import program_sha256
from p2vit.quant.api import quantize
from p2vit.quant.config import METHODS, QuantConfig
from p2vit.quant.search.library import build_library


def test_the_widest_candidate_is_the_program_quantized_at_that_width(tiny_model, photos):
    library = build_library(tiny_model, [photos], QuantConfig(weight_bits=4), (8, 4), threads=2)
    assert library.widths == (4, 8)
    plain = quantize(tiny_model, [photos], QuantConfig(weight_bits=8), threads=2).program
    for program in (library.program, library.compose(library.widest)):
        same = {node.name: node.operator for node in program.nodes}
        assert list(same) == [node.name for node in plain.nodes]
        for node in plain.nodes:
            for key, value in vars(node.operator).items():
                assert np.array_equal(getattr(same[node.name], key), value), (node.name, key)


def test_a_candidate_has_the_widths_that_it_was_given(tiny_model, photos):
    library = build_library(tiny_model, [photos], QuantConfig(), (3, 4, 8), threads=2)
    mixed = library.compose({"blocks.1.mlp.fc1": 3, "blocks.0.attn.q": 4})
    widths = [mixed.node(layer.name).operator.weight_bits for layer in library.layers]
    assert sorted(widths)[:3] == [3, 4, 8]
    assert np.abs(mixed.node("blocks.1.mlp.fc1").operator.weight).max() <= 4
    assert library.program.node("blocks.1.mlp.fc1").operator.weight_bits == 8
    assert program_sha256(mixed) != program_sha256(library.program)


@pytest.mark.parametrize("widths", [(), (1, 8), (4, 9)])
def test_widths_are_checked(tiny_model, photos, widths):
    with pytest.raises(P2vitError, match="name one or more of 2 to 8"):
        build_library(tiny_model, [photos], QuantConfig(), widths)


def test_a_method_without_an_integer_program_is_refused(tiny_model, photos):
    with pytest.raises(ModelError, match="have no integer program"):
        build_library(tiny_model, [photos], METHODS["paper"], (4, 8))
