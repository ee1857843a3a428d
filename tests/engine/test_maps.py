"""Feature maps come out of every executor as the same integers, whether asked for or not."""

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.engine.registry import open_backend
from support.dense import DENSE, dense_photos, dense_program


@pytest.mark.parametrize("backend", ["native", "torch", "onnx"])
@pytest.mark.parametrize("name", DENSE)
def test_executors_agree_on_every_result(name, backend):
    program, pixels = dense_program(name), dense_photos(name, 3)
    expected = ReferenceExecutor(program).run(pixels)
    _, executor = open_backend(backend, program, 1)
    found = executor.run(pixels)
    assert found.keys() == expected.keys() == set(program.results)
    for tensor, integers in expected.items():
        assert found[tensor].dtype == integers.dtype
        assert np.array_equal(found[tensor], integers), tensor


@pytest.mark.parametrize("backend", ["native", "torch", "onnx"])
def test_executors_agree_on_every_tensor(backend):
    program, pixels = dense_program("registers"), dense_photos("registers")
    every = [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(pixels, every)
    found = open_backend(backend, program, 1)[1].run(pixels, every)
    assert all(np.array_equal(found[name], expected[name]) for name in every)
