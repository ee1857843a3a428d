"""What a program's output says of a photo: a class, a number, or a feature."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from p2vit.program.graph import IntegerProgram

Kind = Literal["classes", "number", "feature"]


def kind_of(program: IntegerProgram) -> Kind:
    """What a program puts out.

    Returns:
        ``feature`` without a head, ``number`` for a head with one output, else ``classes``.
    """
    if program.output == program.feature:
        return "feature"
    return "number" if program.tensors[program.output].shape[-1] == 1 else "classes"


def answer(file: Path, logits: np.ndarray, kind: Kind, classes: Sequence[str]) -> dict[str, Any]:
    """One photo's row.

    Args:
        file: The photo.
        logits: Integers of the output, [outputs].
        kind: What they are.
        classes: Names of the outputs, or empty.

    Returns:
        ``file``, ``label``, ``index`` and ``logits``. The label is the class's name, or its number where no names
        are known; label and index are None where the output is no class.
    """
    label, index = None, None
    if kind == "classes":
        index = int(np.argmax(logits))
        label = classes[index] if classes else str(index)
    return {"file": str(file), "label": label, "index": index, "logits": [int(value) for value in logits]}
