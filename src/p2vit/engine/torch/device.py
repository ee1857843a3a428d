"""The device that the torch executor runs on, by name."""

import re

import torch

from p2vit.errors import P2vitError, did_you_mean


class DeviceError(P2vitError):
    """A device does not exist, or torch cannot use it."""


def open_device(name: str) -> torch.device:
    """Return the torch device of a name.

    Args:
        name: ``cpu``, ``cuda``, or ``cuda:N`` for one of several GPUs.

    Raises:
        DeviceError: The name is not allowed, or torch sees no such GPU. The message says what to do.
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise DeviceError(
            f"--device: there is no device '{name}'.{did_you_mean(name, ('cpu', 'cuda'))} Allowed: cpu, cuda, cuda:N"
        )
    if name == "cpu":
        return torch.device("cpu")
    if torch.version.cuda is None:
        raise DeviceError(
            f"--device {name}: torch {torch.__version__} is built without CUDA. Install a CUDA build of torch "
            "(https://pytorch.org/get-started/locally), or omit --device to run on the CPU"
        )
    if not torch.cuda.is_available():
        raise DeviceError(
            f"--device {name}: torch {torch.__version__} sees no GPU. Check that nvidia-smi lists one and that its "
            f"driver supports CUDA {torch.version.cuda}, or omit --device to run on the CPU"
        )
    device, count = torch.device(name), torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise DeviceError(
            f"--device {name}: this machine has {count} GPU{'s' * (count > 1)}. Allowed: cuda:0 to cuda:{count - 1}"
        )
    return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
