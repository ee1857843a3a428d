"""The accelerator, built: hardware from the operators' own parameter objects, by free tools alone.

``p2vit.rtl`` is this package and, for those who import the library, a function too: ``p2vit.rtl(program, folder)``.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that can be called: its name is also that of a public function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """See :func:`p2vit.api.functions.rtl`."""
        return import_module("p2vit.api.functions").rtl(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
