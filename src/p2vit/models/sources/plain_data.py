"""Which objects a torch checkpoint may hold beside its tensors: plain data is read, code never runs.

torch reads a checkpoint with ``weights_only``, which makes no object that is not on a list. Training scripts put
harmless ones beside the weights (``argparse.Namespace``, NumPy scalars, a configuration). Plain containers are made as
they are. Any other class is replaced by an empty stand-in, so that the weights beside it can be read; its own code is
never imported. What only a program that takes over a machine needs is refused.
"""

import argparse
import collections
import contextlib
import re
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

#: Modules that no weight file needs: whoever asks for one of these wants to run something.
REFUSED = frozenset(
    [
        "builtins",
        "__builtin__",
        "os",
        "posix",
        "nt",
        "sys",
        "subprocess",
        "commands",
        "shutil",
        "socket",
        "ctypes",
        "importlib",
        "runpy",
        "pickle",
        "_pickle",
        "cPickle",
        "marshal",
        "pty",
        "code",
        "webbrowser",
        "multiprocessing",
        "asyncio",
        "signal",
        "threading",
        "tempfile",
        "glob",
        "http",
        "httplib",
        "urllib",
        "urllib2",
        "ftplib",
        "smtplib",
    ]
)
#: Of a refused module, what is plain data all the same.
HARMLESS = {
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.tuple": tuple,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.str": str,
    "builtins.bool": bool,
    "builtins.bytes": bytes,
    "builtins.frozenset": frozenset,
    "builtins.slice": slice,
    "builtins.range": range,
}


class StandIn:
    """Takes the place of an object whose class is not known; it keeps nothing of it but the name of the class."""

    origin = ""  # the class that stands in the file

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        """Take any arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _dict(*args: Any, **kwargs: Any) -> "collections.OrderedDict[Any, Any]":
    """Any kind of dict, as one that torch fills."""
    return collections.OrderedDict()


def _list(*args: Any, **kwargs: Any) -> list[Any]:
    """Any kind of list, as one that torch fills."""
    return []


def _allowed() -> list[Any]:
    """Plain data that is made as it is."""
    dtypes = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    core = np.core if not hasattr(np, "_core") else np._core
    named = [(value, name) for name, value in HARMLESS.items()]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        named += [
            (core.multiarray.scalar, f"{module}.scalar"),
            (core.multiarray._reconstruct, f"{module}._reconstruct"),
        ]
    return [
        *dtypes,
        *named,
        np.ndarray,
        (np.dtype, "numpy.dtype"),
        argparse.Namespace,
        types.SimpleNamespace,
        (_dict, "collections.defaultdict"),
        (_list, "collections.deque"),
    ]


@contextlib.contextmanager
def allowing(names: list[str]) -> Iterator[None]:
    """Let torch read plain data, and put stand-ins where other classes are.

    Args:
        names: Full names of classes, none of them `forbidden`.
    """
    made: list[Any] = []
    for name in names:
        if re.search("dict|munch", name.rsplit(".", 1)[-1], re.IGNORECASE):
            # As a class: the reader of the file asks it for a new object.
            made.append((type("DictStandIn", (), {"__new__": lambda cls, *args: _dict()}), name))
        else:
            made.append((type("NamedStandIn", (StandIn,), {"origin": name}), name))
    with torch.serialization.safe_globals([*_allowed(), *made]):
        yield


def forbidden(name: str) -> bool:
    """Whether a file that asks for this name wants to run something."""
    return name not in HARMLESS and name.split(".")[0] in REFUSED
