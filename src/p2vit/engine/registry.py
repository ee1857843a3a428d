"""The registry of back-ends. A back-end is imported only when it is used, because its packages may be missing."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2vit.engine.executor import Executor, RefusedProgramError
from p2vit.errors import P2vitError, did_you_mean, first_line
from p2vit.program.graph import IntegerProgram


class BackendError(P2vitError):
    """A back-end does not exist, or cannot run on this machine."""


class BackendRefusal(BackendError):  # noqa: N818 - it refuses a program; nothing is wrong with either
    """A back-end runs on this machine, but cannot run this program.

    Attributes:
        reason: Sentence that names the back-end and the reason.
    """

    def __init__(self, name: str, error: Exception) -> None:
        why = first_line(error).removeprefix("native engine: ")
        self.reason = f"back-end '{name}' does not run this program ({why})"
        others = ", ".join(other for other in ("auto", *BACKENDS) if other != name)
        super().__init__(f"{self.reason}. Use another: {others}")


def _say_nothing(text: str) -> None:
    """Ignore a warning."""


@dataclass(frozen=True)
class Backend:
    """One back-end.

    Attributes:
        module: Module of the executor class.
        attribute: Name of the executor class.
        needs: What to install if the import fails.
        about: Description in a few words.
        takes_threads: Whether the class has an argument ``threads``.
        takes_device: Whether the class has an argument ``device``, so that it also runs on a GPU.
    """

    module: str
    attribute: str
    needs: str
    about: str
    takes_threads: bool = False
    takes_device: bool = False


BACKENDS: dict[str, Backend] = {
    "native": Backend(
        "p2vit.engine.native",
        "NativeExecutor",
        "a C++ compiler, then: pip install --force-reinstall --no-deps p2vit",
        "compiled kernels, the fastest",
        takes_threads=True,
    ),
    "torch": Backend(
        "p2vit.engine.torch.executor",
        "TorchExecutor",
        "pip install 'p2vit[quant]'",
        "torch on integer tensors, also on a GPU",
        takes_device=True,
    ),
    "reference": Backend(
        "p2vit.engine.reference",
        "ReferenceExecutor",
        "pip install p2vit",
        "NumPy, slow: the reference for the others",
    ),
    "onnx": Backend(
        "p2vit.export.onnx.executor",
        "OnnxExecutor",
        "pip install 'p2vit[onnx]'",
        "the integer ONNX export in ONNX Runtime",
        takes_threads=True,
    ),
    "openvino": Backend(
        "p2vit.export.onnx.executor",
        "OpenVinoExecutor",
        "pip install 'p2vit[openvino]'",
        "the integer ONNX export in OpenVINO's CPU plugin",
        takes_threads=True,
    ),
}
#: Back-ends that ``auto`` tries, the fastest first.
PREFERENCE = ("native", "torch", "reference")
#: The device without which nothing else is asked for.
CPU = "cpu"


def open_backend(
    name: str,
    program: IntegerProgram,
    threads: int | None = None,
    warn: Callable[[str], None] = _say_nothing,
    device: str = CPU,
) -> tuple[str, Executor]:
    """Make the executor of a back-end.

    Args:
        name: A key of `BACKENDS`, or ``auto``.
        program: The program to run.
        threads: Largest number of threads, for executors that take one.
        warn: Receives one line if ``auto`` skips a back-end that works here but cannot run this program.
        device: ``cpu``, or a GPU: ``cuda`` or ``cuda:N``. With a GPU, ``auto`` takes the back-end that runs there.

    Returns:
        Name of the back-end, and the executor.

    Raises:
        BackendError: There is no such back-end or device, it cannot run here, or it cannot run this program. The
            message gives the reason and what to install or use instead.
    """
    if name == "auto" and device != CPU:
        name = next(key for key, backend in BACKENDS.items() if backend.takes_device)
    if name != "auto":
        return name, _open(name, program, threads, device)
    reasons, refusals = [], []
    for candidate in PREFERENCE:
        try:
            executor = _open(candidate, program, threads)
        except BackendError as error:
            reasons.append(str(error))
            refusals += [error.reason] if isinstance(error, BackendRefusal) else []
            continue
        if refusals:
            warn(f"{'; '.join(refusals)}. Back-end '{candidate}' runs it: the same integers, more slowly")
        return candidate, executor
    raise BackendError("no back-end works here: " + "; ".join(reasons))


def fastest(program: IntegerProgram, threads: int | None = None) -> Executor:
    """Return the executor of the fastest back-end that works here, as ``auto`` does.

    Args:
        program: The program to run.
        threads: Largest number of threads, for executors that take one.

    Raises:
        BackendError: No back-end works here.
    """
    return open_backend("auto", program, threads)[1]


def unavailable(name: str) -> str:
    """Return why a back-end's module cannot be imported here, or an empty string."""
    backend = BACKENDS[name]
    try:
        getattr(importlib.import_module(backend.module), backend.attribute)
    except Exception as error:  # A broken installation may raise any exception.
        return first_line(error)
    return ""


def _open(name: str, program: IntegerProgram, threads: int | None, device: str = CPU) -> Executor:
    """Import a back-end and make its executor."""
    if name not in BACKENDS:
        raise BackendError(
            f"--backend: there is no back-end '{name}'.{did_you_mean(name, BACKENDS)} "
            f"Allowed: auto, {', '.join(BACKENDS)}"
        )
    backend = BACKENDS[name]
    if device != CPU and not backend.takes_device:
        able = ", ".join(key for key, each in BACKENDS.items() if each.takes_device)
        raise BackendError(
            f"--device {device}: the back-end '{name}' runs on the CPU only. Back-ends that run on a GPU: {able}. "
            "Choose one, or omit --device"
        )
    try:
        kind = getattr(importlib.import_module(backend.module), backend.attribute)
        options: dict[str, Any] = {"threads": threads} if backend.takes_threads and threads else {}
        return kind(program, **options, **({"device": device} if backend.takes_device else {}))
    except RefusedProgramError as error:
        raise BackendRefusal(name, error) from error
    except P2vitError as error:
        raise BackendError(f"back-end '{name}' cannot run here: {first_line(error)}") from None
    except (RuntimeError, OSError) as error:
        # The back-end's own message gives the reason and the remedy.
        raise BackendError(f"back-end '{name}' cannot run here: {first_line(error)}") from None
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"back-end '{name}' cannot run here ({first_line(error)}). It needs: {backend.needs}. "
            f"Others: {', '.join(other for other in BACKENDS if other != name)}"
        ) from None
