"""Vision Transformers with integers only: quantize with power-of-two scales, run, export, simulate and generate RTL.

Importing this package imports neither torch nor NumPy, because each name is loaded at its first use. Torch is needed
to quantize a model, but not to run a program.

Example:
    >>> import p2vit
    >>> q = p2vit.quantize("digits", "digits", progress=False)
    >>> q.audit().passed
    True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from p2vit.version import __version__

if TYPE_CHECKING:
    from p2vit.api.functions import (
        SearchResult,
        compare,
        cosim,
        explore,
        load,
        quantize,
        rtl,
        search,
        simulate,
    )
    from p2vit.api.program import QuantizedProgram
    from p2vit.api.results import Evaluation, Prediction, Simulation, Verification
    from p2vit.errors import P2vitError, P2vitWarning
    from p2vit.program.preprocessing import Preprocessing

#: Public name → module that defines it.
_PUBLIC = {
    "quantize": "p2vit.api.functions",
    "load": "p2vit.api.functions",
    "search": "p2vit.api.functions",
    "simulate": "p2vit.api.functions",
    "explore": "p2vit.api.functions",
    "compare": "p2vit.api.functions",
    "cosim": "p2vit.api.functions",
    "rtl": "p2vit.api.functions",
    "SearchResult": "p2vit.api.functions",
    "QuantizedProgram": "p2vit.api.program",
    "Prediction": "p2vit.api.results",
    "DenseOutput": "p2vit.api.results",
    "Evaluation": "p2vit.api.results",
    "Simulation": "p2vit.api.results",
    "Verification": "p2vit.api.results",
    "Preprocessing": "p2vit.program.preprocessing",
    "P2vitError": "p2vit.errors",
    "P2vitWarning": "p2vit.errors",
}

__all__ = [
    "DenseOutput",
    "Evaluation",
    "P2vitError",
    "P2vitWarning",
    "Prediction",
    "Preprocessing",
    "QuantizedProgram",
    "SearchResult",
    "Simulation",
    "Verification",
    "__version__",
    "compare",
    "cosim",
    "explore",
    "load",
    "quantize",
    "rtl",
    "search",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Load a name at its first use.

    Raises:
        AttributeError: There is no such name. The message suggests the closest one.
    """
    if name in _PUBLIC:
        value = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    if name.startswith("__"):
        raise AttributeError(f"module 'p2vit' has no attribute '{name}'")
    from p2vit.errors import did_you_mean

    raise AttributeError(f"module 'p2vit' has no attribute '{name}'.{did_you_mean(name, __all__)}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*globals(), *__all__})
