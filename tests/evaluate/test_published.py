import pytest

from p2vit.errors import P2vitError
from p2vit.evaluate.published import FLOAT, MODELS, PAPER, PUBLISHED, choose_models


def test_every_figure_has_a_source_and_a_model():
    assert {row.model for row in PUBLISHED} == set(MODELS)
    for row in PUBLISHED:
        assert row.source
        assert 0 < row.top1 < 100
        assert row.top1_to is None or row.top1 < row.top1_to < row.top1 + 0.1
        assert (row.bits == "") == (row.method == FLOAT)
    assert len({(row.model, row.method, row.bits) for row in PUBLISHED}) == len(PUBLISHED)


def test_no_figure_is_the_papers_own_method():
    for row in PUBLISHED:
        if row.source == PAPER:
            assert row.method.startswith("FQ-ViT")
            assert row.model.startswith("DeiT")


def test_no_quantized_figure_is_above_the_float_one():
    top = {row.model: row.top1_to or row.top1 for row in PUBLISHED if row.method == FLOAT}
    assert all(row.top1 <= top[row.model] for row in PUBLISHED)


def test_models_are_chosen_by_either_name():
    assert choose_models(()) == MODELS
    assert list(choose_models(("Swin-*",))) == ["Swin-T", "Swin-S", "Swin-B"]
    assert choose_models(("deit_tiny_patch16_224", "deit-s")) == {
        "DeiT-T": "deit_tiny_patch16_224.fb_in1k",
        "DeiT-S": "deit_small_patch16_224.fb_in1k",
    }
    assert choose_models(("vit_small_patch16_224",)) == {"vit_small_patch16_224": "vit_small_patch16_224"}
    with pytest.raises(P2vitError, match=r"swim\*: matches none of"):
        choose_models(("swim*",))
    with pytest.raises(P2vitError, match=r"Did you mean 'DeiT-T'\?"):
        choose_models(("DeiT-Ti",))
