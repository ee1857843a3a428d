"""Extension of griffe: the sections "Example:" of docstrings are shown as code, like "Examples:"."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Examples(griffe.Extension):
    """Renames the section, whose singular griffe does not know."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Change a docstring when it is loaded."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
