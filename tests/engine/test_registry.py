import sys

import numpy as np
import pytest

from p2vit.engine import registry as backends
from p2vit.engine.executor import Executor, NodeExecutor
from p2vit.engine.native import NativeUnavailableError
from p2vit.engine.registry import BackendError, fastest, open_backend
from p2vit.engine.torch.executor import TorchExecutor
from support.forging import SMALL
from support.programs import random_pixels, random_program

PROGRAM = random_program(**SMALL)


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_every_back_end_runs_or_says_what_it_needs(name):
    if backends.unavailable(name):
        with pytest.raises(BackendError, match="cannot run here"):
            open_backend(name, PROGRAM)
        return
    try:
        resolved, executor = open_backend(name, PROGRAM, threads=2)
    except BackendError as error:
        pytest.skip(str(error))  # The module exists, but a package that it needs does not.
    assert resolved == name
    pixels = random_pixels(PROGRAM, 2)
    expected = open_backend("reference", PROGRAM)[1].run(pixels)
    assert np.array_equal(executor.run(pixels)["head"], expected["head"])


def test_auto_takes_the_first_that_works(monkeypatch):
    for module in ("p2vit.engine.native", "p2vit.engine.torch.executor"):
        monkeypatch.setitem(sys.modules, module, None)  # An import of the module now fails.
    assert open_backend("auto", PROGRAM)[0] == "reference"


def test_a_missing_back_end_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "p2vit.engine.torch.executor", None)
    with pytest.raises(
        BackendError, match=r"'torch' cannot run here .*pip install 'p2vit\[quant\]'.*Others: native"
    ):
        open_backend("torch", PROGRAM)
    assert backends.unavailable("torch")
    assert not backends.unavailable("reference")


def test_unknown_name():
    with pytest.raises(BackendError, match=r"no back-end 'tourch'\. Did you mean 'torch'"):
        open_backend("tourch", PROGRAM)


def test_nothing_works(monkeypatch):
    monkeypatch.setattr(backends, "PREFERENCE", ())
    with pytest.raises(BackendError, match="no back-end works here"):
        open_backend("auto", PROGRAM)


def test_torch_stands_in_for_the_native_engine(monkeypatch):
    def unavailable(*_, **__):
        raise NativeUnavailableError("not here")

    monkeypatch.setattr("p2vit.engine.native.NativeExecutor", unavailable)
    assert isinstance(fastest(PROGRAM), TorchExecutor)


def test_only_those_that_walk_nodes_inherit_the_walk():
    """An executor that runs whole programs has `run` and `logits`, but no methods of a node executor."""
    walks = {}
    for name in backends.BACKENDS:
        if not backends.unavailable(name):
            executor = open_backend(name, PROGRAM)[1]
            assert isinstance(executor, Executor)
            assert executor.name == name
            walks[name] = isinstance(executor, NodeExecutor)
            assert hasattr(executor, "step") is walks[name]
    exports = {"onnx": False, "openvino": False}
    assert walks.items() <= {"reference": True, "torch": True, "native": False, **exports}.items()
    assert "reference" in walks


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_logits_are_the_output_flattened(name):
    if backends.unavailable(name):
        pytest.skip(f"{name} is not here")
    pixels = random_pixels(PROGRAM, 3)
    executor = open_backend(name, PROGRAM)[1]
    assert np.array_equal(executor.logits(pixels), executor.run(pixels)[PROGRAM.output].reshape(3, -1))
