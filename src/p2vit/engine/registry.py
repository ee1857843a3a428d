"""Executors by name, imported only when they are asked for: each may miss what it is built on."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from p2vit.engine.executor import Executor, RefusedProgramError
from p2vit.errors import P2vitError, did_you_mean, first_line
from p2vit.program.graph import IntegerProgram


class BackendError(P2vitError):
    """A back-end that does not exist, or cannot run on this machine."""


class BackendRefusal(BackendError):  # noqa: N818 - it refuses a program; nothing is wrong with either
    """A back-end that runs on this machine, and not this program.

    Attributes:
        reason: Which one, and why.
    """

    def __init__(self, name: str, error: Exception) -> None:
        why = first_line(error).removeprefix("native engine: ")
        self.reason = f"back-end '{name}' does not run this program ({why})"
        others = ", ".join(other for other in ("auto", *BACKENDS) if other != name)
        super().__init__(f"{self.reason}. Use another: {others}")


def _say_nothing(text: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Backend:
    """One way to run a program.

    Attributes:
        module: Where its class is.
        attribute: The class.
        needs: What to install when its import fails.
        about: What it is, in a few words.
        takes_threads: Its class has an argument ``threads``.
    """

    module: str
    attribute: str
    needs: str
    about: str
    takes_threads: bool = False


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
        "torch on integer tensors",
    ),
    "reference": Backend(
        "p2vit.engine.reference",
        "ReferenceExecutor",
        "pip install p2vit",
        "NumPy, slow and obvious: the norm",
    ),
    "onnx": Backend(
        "p2vit.export.onnx.executor",
        "OnnxExecutor",
        "pip install 'p2vit[onnx]'",
        "the integer ONNX export in ONNX Runtime",
        takes_threads=True,
    ),
}
#: What ``auto`` tries, the fastest first.
PREFERENCE = ("native", "torch", "reference")


def open_backend(
    name: str,
    program: IntegerProgram,
    threads: int | None = None,
    warn: Callable[[str], None] = _say_nothing,
) -> tuple[str, Executor]:
    """Make the executor of a name.

    Args:
        name: One of `BACKENDS`, or ``auto``.
        program: What it will run.
        threads: Bound for executors that take one.
        warn: Told in one line where ``auto`` passes a back-end over that runs here, and not this program.

    Returns:
        (its name, the executor).

    Raises:
        BackendError: there is no such back-end, or it cannot run here, or not this program; says why and what
            to install or to use instead.
    """
    if name != "auto":
        return name, _open(name, program, threads)
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
    """The executor to take where only the integers matter: what ``auto`` gives.

    Args:
        program: What it will run.
        threads: Bound for executors that take one.

    Raises:
        BackendError: no back-end works here.
    """
    return open_backend("auto", program, threads)[1]


def unavailable(name: str) -> str:
    """Why a back-end's module cannot be imported here, or an empty string."""
    backend = BACKENDS[name]
    try:
        getattr(importlib.import_module(backend.module), backend.attribute)
    except Exception as error:  # a broken installation raises whatever it likes
        return first_line(error)
    return ""


def _open(name: str, program: IntegerProgram, threads: int | None) -> Executor:
    """Import and make one executor."""
    if name not in BACKENDS:
        raise BackendError(
            f"--backend: there is no back-end '{name}'.{did_you_mean(name, BACKENDS)} "
            f"Allowed: auto, {', '.join(BACKENDS)}"
        )
    backend = BACKENDS[name]
    try:
        kind = getattr(importlib.import_module(backend.module), backend.attribute)
        return kind(program, threads=threads) if backend.takes_threads and threads else kind(program)
    except RefusedProgramError as error:
        raise BackendRefusal(name, error) from error
    except P2vitError as error:
        raise BackendError(f"back-end '{name}' cannot run here: {first_line(error)}") from None
    except (RuntimeError, OSError) as error:
        # The back-end itself says why it cannot run and what would help.
        raise BackendError(f"back-end '{name}' cannot run here: {first_line(error)}") from None
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"back-end '{name}' cannot run here ({first_line(error)}). It needs: {backend.needs}. "
            f"Others: {', '.join(other for other in BACKENDS if other != name)}"
        ) from None
