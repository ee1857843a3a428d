"""OpenVINO in a process of its own: ``python -m p2vit.export.onnx.openvino_process``, which pickles arrays both ways.

OpenVINO changes threads of the process in which it runs: torch crashed or hung after it in the same process, inside its
own OpenMP. A process of its own also means that a crash of the plugin is a failed check and not the end of an export.
"""

import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS

COMMAND = (sys.executable, "-m", "p2vit.export.onnx.openvino_process")


class OpenVinoProcess:
    """A compiled model in another process, which ends with this object."""

    def __init__(self, file: str, options: dict[str, Any]) -> None:
        """Compile a model.

        Args:
            file: Path of the model.
            options: Properties of the CPU plugin.

        Raises:
            P2vitError: OpenVINO does not compile it.
        """
        self._process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._ask((file, options))

    def __call__(self, names: Sequence[str], pixels: IntArray) -> list[IntArray]:
        """Return outputs of the model for uint8 pixels [B, H, W, 3]."""
        found: list[IntArray] = self._ask((list(names), np.ascontiguousarray(pixels)))
        return found

    def _ask(self, question: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            answer, error = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self._process.wait(10)
            raise P2vitError(f"OpenVINO's process ended with status {status}") from None
        if error:
            raise P2vitError(f"OpenVINO: {error}")
        return answer

    def __del__(self) -> None:
        """End the process."""
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def main() -> None:
    """Answer questions from standard input on standard output, until it ends."""
    import os

    # Whatever OpenVINO prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import openvino

    compiled: Any = None
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if compiled is None:
                core = openvino.Core()
                compiled = core.compile_model(core.read_model(question[0]), "CPU", question[1])
                answer: Any = (None, "")
            else:
                results = compiled({PIXELS: question[1]})
                answer = ([np.array(results[name]) for name in question[0]], "")
        except Exception as error:
            answer = (None, str(error).strip().splitlines()[-1][:300] or type(error).__name__)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
