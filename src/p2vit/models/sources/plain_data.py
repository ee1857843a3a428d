"""Decide which objects beside the tensors of a torch checkpoint are read. No code of a checkpoint ever runs.

torch reads checkpoints with ``weights_only`` and creates only objects of listed classes. Training scripts save harmless
objects beside the weights (``argparse.Namespace``, NumPy scalars, configurations). Plain containers and numbers are
read. Every other class is replaced by an empty stand-in, so that the weights can be read; the class is never imported.
A checkpoint that names a function or class that could run code is refused.
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

#: Modules that no weight file needs. A file that names one of them is refused, because it may run code.
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
#: Plain data types of refused modules, which are allowed.
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
    """Replacement for an object of an unknown class. It keeps only the name of that class."""

    origin = ""  # name of the class in the file

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        """Create the object with any arguments."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _dict(*args: Any, **kwargs: Any) -> "collections.OrderedDict[Any, Any]":
    """Create an empty dict, which torch fills, for any class of dict."""
    return collections.OrderedDict()


def _list(*args: Any, **kwargs: Any) -> list[Any]:
    """Create an empty list, which torch fills, for any class of list."""
    return []


def _allowed() -> list[Any]:
    """List the classes of plain data that torch may create."""
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
    """Return a context in which torch reads plain data and creates stand-ins for other classes.

    Args:
        names: Full names of the classes that get stand-ins; none of them is `forbidden`.
    """
    made: list[Any] = []
    for name in names:
        if re.search("dict|munch", name.rsplit(".", 1)[-1], re.IGNORECASE):
            # torch needs a class here, because it calls __new__.
            made.append((type("DictStandIn", (), {"__new__": lambda cls, *args: _dict()}), name))
        else:
            made.append((type("NamedStandIn", (StandIn,), {"origin": name}), name))
    with torch.serialization.safe_globals([*_allowed(), *made]):
        yield


def forbidden(name: str) -> bool:
    """Return whether a file that names this function or class must be refused."""
    return name not in HARMLESS and name.split(".")[0] in REFUSED
