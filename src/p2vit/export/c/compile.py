"""Compiles a C export with this machine's compiler, and runs its check."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.export.c.write import CExport

#: Seconds after which the compiler or the check is stopped.
TIMEOUT_SECONDS = 600


def count_differences(export: CExport) -> int | None:
    """Compile an export, run it, and compare its outputs with the reference's outputs in ``check.c``.

    Args:
        export: The files.

    Returns:
        Number of outputs that differ; None without a C compiler.

    Raises:
        P2vitError: The export does not compile, or its check stops early.
    """
    compiler = os.environ.get("CC") or next(
        (name for name in ("cc", "gcc", "clang") if shutil.which(name)), None
    )
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(prefix="p2vit-c-") as name:
        folder = Path(name)
        for file, content in export.files.items():
            (folder / file).write_bytes(content)
        sources = sorted(file for file in export.files if file.endswith(".c"))
        options = ["-std=gnu99", "-O1", "-fno-strict-aliasing", "-DP2VIT_TRACE"]
        _run([*compiler.split(), *options, "-o", "check", *sources], folder)
        said = _run(["./check"], folder, fails=True)
    found = re.search(r"numbers compared, (\d+) differ", said)
    if found is None:
        raise P2vitError(f"the exported C program stopped early: {said[-300:]}")
    return int(found[1])


def _run(command: list[str], folder: Path, fails: bool = False) -> str:
    """Run a command, and return what it prints.

    Args:
        command: Program and arguments.
        folder: Working folder.
        fails: Whether a nonzero exit status is allowed.

    Raises:
        P2vitError: The command cannot be run, or fails.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise P2vitError(f"{command[0]}: {error}. Set the variable CC to another C compiler") from None
    if done.returncode and not fails:
        raise P2vitError(
            f"{command[0]} does not compile the exported C: {done.stderr.strip()[-300:]}. Set the "
            "variable CC to another C compiler"
        )
    return done.stdout
