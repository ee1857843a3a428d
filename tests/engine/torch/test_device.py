"""The device of the torch back-end: what it is called, and what is said when it is not there."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from p2vit.engine import registry  # noqa: E402
from p2vit.engine.registry import BackendError, open_backend  # noqa: E402
from p2vit.engine.torch.device import DeviceError, open_device  # noqa: E402
from p2vit.engine.torch.executor import TorchExecutor  # noqa: E402
from support.forging import SMALL  # noqa: E402
from support.programs import random_pixels, random_program  # noqa: E402

PROGRAM = random_program(**SMALL)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_the_cpu_is_the_default():
    assert open_device("cpu") == torch.device("cpu")
    assert TorchExecutor(PROGRAM).device == torch.device("cpu")


@pytest.mark.parametrize("name", ["cud", "gpu", "cuda:", "cuda:-1", "cuda:0 ", "CUDA", "", "mps", "cuda:\n0"])
def test_other_names_are_refused(name):
    with pytest.raises(DeviceError, match=r"Allowed: cpu, cuda, cuda:N"):
        open_device(name)


def test_a_typing_error_gets_a_suggestion():
    with pytest.raises(DeviceError, match=r"no device 'cud'\. Did you mean 'cuda'"):
        open_device("cud")


def test_a_torch_without_cuda_says_what_to_install(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        DeviceError, match=r"is built without CUDA\. Install a CUDA build .* or omit --device"
    ):
        open_device("cuda")


def test_no_gpu_says_how_to_look_for_it(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        DeviceError, match=r"sees no GPU\. Check that nvidia-smi .* CUDA 13\.0, or omit --device"
    ):
        open_device("cuda:1")


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match=r"this machine has 2 GPUs\. Allowed: cuda:0 to cuda:1"):
        open_device("cuda:2")
    assert open_device("cuda:1") == torch.device("cuda:1")


@no_gpu
@pytest.mark.parametrize("name", ["auto", "torch"])
def test_the_registry_opens_the_back_end_that_runs_there(name):
    with pytest.raises(BackendError, match=r"back-end 'torch' cannot run here: --device cuda: torch"):
        open_backend(name, PROGRAM, device="cuda")


@pytest.mark.parametrize("name", ["native", "reference", "onnx"])
def test_other_back_ends_run_on_the_cpu(name):
    with pytest.raises(
        BackendError, match=rf"--device cuda: the back-end '{name}' runs on the CPU only\. .*: torch\."
    ):
        open_backend(name, PROGRAM, device="cuda")
    assert not registry.BACKENDS[name].takes_device


def test_too_little_memory_says_what_to_do(monkeypatch):
    executor = TorchExecutor(PROGRAM)

    def too_much(pixels):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(executor, "_forward", too_much)
    with pytest.raises(DeviceError, match=r"too small for a batch of 3 photos\. Use fewer photos per batch"):
        executor.run(random_pixels(PROGRAM, 3))


@no_gpu
@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--device", "cuda"],
        ["verify", "--backends", "reference,native", "--device", "cuda"],
        ["eval", "--data", "noise", "--no-float", "--device", "cuda"],
        ["eval", "--data", "noise", "--no-float", "--backend", "native", "--device", "cuda"],
        ["verify", "--device", "gpu"],
    ],
)
def test_the_verbs_refuse_in_one_line(p2vit, tmp_path, arguments):
    from p2vit.program.format import save

    save(PROGRAM, tmp_path / "program")
    verb, *options = arguments
    done = p2vit(verb, tmp_path / "program", *options)
    assert done.code == 2
    assert "--device" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_results_on_the_device_are_those_of_a_run():
    executor, pixels = TorchExecutor(PROGRAM), random_pixels(PROGRAM, 2)
    expected = executor.run(pixels)
    found = executor.on_device(torch.from_numpy(pixels))
    assert list(found) == list(expected)
    for name, value in found.items():
        assert np.array_equal(value.numpy(), expected[name])
