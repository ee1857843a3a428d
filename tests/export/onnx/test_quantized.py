"""Programs made by the quantizer, with offsets before and after the activation table."""

import numpy as np
import pytest

from support.tiny import float_model

pytest.importorskip("onnxruntime")

from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.onnx.executor import OnnxExecutor
from p2vit.export.onnx.qdq.build import build_onnx_qdq
from p2vit.export.onnx.runtimes import open_session
from p2vit.quant.api import quantize


@pytest.fixture(scope="module", params=["gelu", "quick_gelu"])
def program(request):
    photos = np.random.default_rng(0).integers(0, 256, (8, 8, 12, 3), dtype=np.uint8)
    result = quantize(float_model(activation=request.param), [photos], threads=2).program
    assert result.tensors["blocks.0.mlp.fc1"].offset
    assert result.tensors["blocks.0.mlp.gelu"].offset
    return result


def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)


def test_the_integer_form_is_exact_on_every_tensor(program):
    names = [node.name for node in program.nodes]
    ours, theirs = ReferenceExecutor(program).run(pixels(), names), OnnxExecutor(program).run(pixels(), names)
    assert all(np.array_equal(ours[name], theirs[name]) for name in names)


def test_the_qdq_form_takes_offsets_on_both_sides_of_the_activation(program):
    session = open_session(build_onnx_qdq(program), threads=1)
    logits = session.run(None, {session.get_inputs()[0].name: pixels()})[0].reshape(5, -1)
    spec = program.tensors[program.output]
    exact = spec.real(ReferenceExecutor(program).logits(pixels()))
    assert np.sqrt(((logits - exact) ** 2).mean()) < 0.05 * np.abs(exact).max()
