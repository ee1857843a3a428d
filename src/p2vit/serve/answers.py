"""What the server says about a photo: label, scores, and the program's integers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram
from p2vit.version import __version__


@dataclass(frozen=True)
class Answers:
    """Makes answers from logits.

    Attributes:
        program: The program.
        sha256: Its hash.
        backend: Name of the back-end.
        kind: Kind of the output: ``classes``, ``number`` or ``feature``.
        classes: Names of the outputs; empty if there are none.
        top: Number of classes that are listed with scores.
    """

    program: IntegerProgram
    sha256: str
    backend: str
    kind: str
    classes: Sequence[str]
    top: int = 5
    exponents: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Broadcast the exponents of the output to one per number."""
        spec = self.program.tensors[self.program.output]
        exponents = np.broadcast_to(spec.exponent, spec.shape).reshape(-1)
        object.__setattr__(self, "exponents", exponents)

    @property
    def logit_exponent(self) -> int | None:
        """Exponent of all logits, or None if they have several."""
        return int(self.exponents[0]) if len(np.unique(self.exponents)) == 1 else None

    @property
    def about(self) -> dict[str, Any]:
        """What is served."""
        return {
            "p2vit": __version__,
            "program_sha256": self.sha256,
            "backend": self.backend,
            "output_is": self.kind,
            "image_size": list(self.program.preprocessing.image_size),
            "outputs": len(self.exponents),
            "classes": list(self.classes),
            "logit_exponent": self.logit_exponent,
        }

    def of(self, name: str, logits: IntArray) -> dict[str, Any]:
        """Return the answer for one photo.

        Args:
            name: Name that the client gave to it.
            logits: int32 [outputs].

        Returns:
            ``name``; ``label``, ``index`` and ``score`` of the best class, and ``top``, a list of the best ones, all
            None or empty if the output is no class; ``logits``: the integers. Scores are a softmax of the real logits.
        """
        answer: dict[str, Any] = {"name": name, "label": None, "index": None, "score": None, "top": []}
        if self.kind == "classes":
            real = np.ldexp(logits.astype(np.float64), self.exponents)
            scores = np.exp(real - real.max())
            scores /= scores.sum()
            # By the integers, ties to the first, as the reference's argmax.
            best = np.argsort(-logits.astype(np.int64), kind="stable")[: self.top]
            rows = [
                {
                    "label": self.classes[at] if self.classes else str(at),
                    "index": int(at),
                    "score": float(scores[at]),
                }
                for at in best
            ]
            answer |= rows[0] | {"top": rows}
        return answer | {"logits": [int(value) for value in logits]}

    def whole(self, outputs: list[dict[str, Any]], skipped: list[dict[str, str]]) -> dict[str, Any]:
        """Return the answer for one request."""
        return {
            "outputs": outputs,
            "skipped": skipped,
            "output_is": self.kind,
            "logit_exponent": self.logit_exponent,
            "program_sha256": self.sha256,
            "backend": self.backend,
        }
