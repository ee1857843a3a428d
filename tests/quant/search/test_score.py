import numpy as np
import pytest
import torch

from p2vit.engine.native import NativeUnavailableError
from p2vit.engine.reference import ReferenceExecutor
from p2vit.quant.sensitivity import sqnr_db


def test_more_bits_score_higher(prepared):
    scorer, library = prepared.scorer, prepared.scorer.library
    narrow = scorer.score({layer.name: 4 for layer in library.layers})
    assert narrow < scorer.score(library.widest)
    assert scorer.noise(library.widest) == pytest.approx(10 ** (-scorer.score(library.widest) / 10))


def test_threads_do_not_change_a_score(prepared):
    scorer = prepared.scorer
    assert scorer.score({}, threads=1) == scorer.score({}, threads=3)


def test_the_score_is_the_programs_sqnr(prepared, tiny_model):
    scorer, bits = prepared.scorer, {"blocks.0.attn.v": 4}
    with torch.inference_mode():
        exact = tiny_model.module.features(torch.from_numpy(scorer.pixels)).numpy()
    program = scorer.library.compose(bits)
    stored = ReferenceExecutor(program).run(scorer.pixels)[program.feature]
    ours = program.tensors[program.feature].real(stored).reshape(exact.shape)
    assert scorer.score(bits) == pytest.approx(sqnr_db(exact, ours), abs=1e-4)


def test_without_the_native_engine_the_score_is_the_same(prepared, monkeypatch):
    native = prepared.scorer.score({})

    def unavailable(*_, **__):
        raise NativeUnavailableError("not here")

    monkeypatch.setattr("p2vit.engine.native.NativeExecutor", unavailable)
    assert prepared.scorer.score({}) == native


def test_unrounded_features_are_the_features_to_half_a_step(prepared):
    scorer = prepared.scorer
    program = scorer.library.program
    spec = program.tensors[program.feature]
    node = program.node(program.feature)
    bias = np.ldexp(node.operator.bias.astype(float), node.operator.accumulator_exponent.astype(int))
    stored = ReferenceExecutor(program).run(scorer.pixels)[program.feature][:, 0]
    inside = np.abs(stored.astype(int)) < 127
    error = np.abs(scorer.unrounded({}) + bias - spec.real(stored))
    step = np.broadcast_to(np.ldexp(1.0, spec.exponent.astype(int)), stored.shape)
    assert inside.mean() > 0.9
    assert (error <= 0.5001 * step)[inside].all()
