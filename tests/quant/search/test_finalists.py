from dataclasses import replace

import pytest

from p2vit.quant.api import quantize
from p2vit.quant.config import QuantConfig
from p2vit.quant.search.cost import parse_budget
from p2vit.quant.search.finalists import MARGIN_DB, decide, finalists
from p2vit.quant.search.run import SearchResult


def found(prepared, widths, score):
    layers = prepared.scorer.library.layers
    bits = {layer.name: widths[index % len(widths)] for index, layer in enumerate(layers)}
    return SearchResult(bits, 6.0, score, 1, {})


def flat(prepared, width):
    return {layer.name: width for layer in prepared.scorer.library.layers}


def test_one_width_for_all_is_tried_where_it_comes_near(prepared):
    budget = parse_budget("average-bits=6", prepared.scorer.library.layers)
    four = prepared.scorer.score(flat(prepared, 4))
    near = found(prepared, (4, 8), four + MARGIN_DB - 0.1)
    assert finalists(prepared, budget, near) == [near.bits_per_layer, flat(prepared, 4)]
    far = found(prepared, (4, 8), four + MARGIN_DB + 0.1)
    assert finalists(prepared, budget, far) == [far.bits_per_layer]


def test_the_widest_that_fits_is_taken_and_nothing_twice(prepared):
    budget = parse_budget("average-bits=8", prepared.scorer.library.layers)
    wide = found(prepared, (8,), prepared.scorer.score({}))
    assert finalists(prepared, budget, wide) == [flat(prepared, 8)]


def test_the_best_program_wins(prepared, tiny_model, photos):
    def make(bits):
        return quantize(tiny_model, [photos[:10]], replace(QuantConfig(), layer_bits=bits), threads=1)

    mixes = [flat(prepared, 3), flat(prepared, 8), flat(prepared, 4)]
    place, scores, result = decide(prepared, mixes, make)
    assert place == 1
    assert scores[1] == max(scores) == prepared.scorer.sqnr(result.program)
    assert {node.operator.weight_bits for node in result.program.nodes if node.name in mixes[0]} == {8}


def test_of_equals_the_first_is_kept(prepared, tiny_model, photos):
    def make(bits):
        return quantize(tiny_model, [photos[:10]], replace(QuantConfig(), layer_bits=bits), threads=1)

    place, scores, _ = decide(prepared, [flat(prepared, 8), flat(prepared, 8)], make)
    assert place == 0
    assert scores[0] == pytest.approx(scores[1], abs=0)
