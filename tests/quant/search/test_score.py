import pytest

from p2vit.quant.sensitivity import sqnr_db


def test_more_bits_score_higher(prepared):
    scorer, library = prepared.scorer, prepared.scorer.library
    narrow = scorer.score({layer.name: 4 for layer in library.layers})
    assert narrow < scorer.score(library.widest)
    assert scorer.noise(library.widest) == pytest.approx(10 ** (-scorer.score(library.widest) / 10))


def test_threads_do_not_change_a_score(prepared):
    scorer = prepared.scorer
    assert scorer.score({}, threads=1) == scorer.score({}, threads=3)


def test_the_score_is_the_features_sqnr(prepared, tiny_model):
    import torch

    scorer = prepared.scorer
    with torch.inference_mode():
        exact = tiny_model.module.features(torch.from_numpy(scorer.pixels))
    ours = scorer.features(scorer.library.model, 1)
    assert scorer.score({}) == pytest.approx(sqnr_db(exact, ours), abs=1e-4)
