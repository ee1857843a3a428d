from p2vit.engine import choose
from p2vit.engine.native import NativeUnavailableError
from p2vit.engine.torch.executor import TorchExecutor
from support.programs import random_program


def test_torch_stands_in_for_the_native_engine(monkeypatch):
    def unavailable(*_):
        raise NativeUnavailableError("not here")

    monkeypatch.setattr(choose, "NativeExecutor", unavailable)
    assert isinstance(choose.fastest(random_program()), TorchExecutor)
