"""Runs external tools. Their output is captured for error messages and never reaches stdout."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2vit.hdl.tools.missing import RtlError


def run_tool(
    words: Sequence[str],
    what: str,
    *,
    folder: Path | None = None,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program and return its output.

    Args:
        words: Program and arguments.
        what: Task, for the error message, e.g. "compiling the simulation of X".
        folder: Working directory.
        stdin: Text for the standard input.
        environment: Variables that are added to this process's environment.
        timeout: Time limit in seconds.

    Returns:
        Standard output of the program.

    Raises:
        RtlError: The program fails or exceeds the time limit. The message ends with the last lines of its output.
    """
    try:
        done = subprocess.run(
            list(words),
            cwd=folder,
            input=stdin,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise RtlError(f"{what} took longer than {timeout:.0f} s and was stopped") from None
    except OSError as error:
        raise RtlError(f"{what}: {words[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        tail = "\n  ".join(said[-12:]) or "(it said nothing)"
        raise RtlError(f"{what} failed: {Path(words[0]).name} ended with {done.returncode}\n  {tail}")
    return done.stdout
