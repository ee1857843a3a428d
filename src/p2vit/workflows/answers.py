"""How to read a program's output for a photo: as a class, a number or features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from p2vit.program.graph import IntegerProgram

Kind = Literal["classes", "number", "feature"]


def kind_of(program: IntegerProgram) -> Kind:
    """Return the kind of a program's output.

    Returns:
        ``feature`` for a program without a head, ``number`` for a head with one output, else ``classes``.
    """
    if program.output == program.feature:
        return "feature"
    return "number" if program.tensors[program.output].shape[-1] == 1 else "classes"


def answer(file: Path, logits: np.ndarray, kind: Kind, classes: Sequence[str]) -> dict[str, Any]:
    """Return the result of one photo.

    Args:
        file: The photo.
        logits: Output of the program, int32 [outputs].
        kind: Kind of the output, from :func:`kind_of`.
        classes: Names of the outputs; empty if there are none.

    Returns:
        ``file``, ``label``, ``index`` and ``logits``. The label is the name of the class, or its index as text if there
        are no names. Label and index are None if the output is not a class.
    """
    label, index = None, None
    if kind == "classes":
        index = int(np.argmax(logits))
        label = classes[index] if classes else str(index)
    return {"file": str(file), "label": label, "index": index, "logits": [int(value) for value in logits]}
