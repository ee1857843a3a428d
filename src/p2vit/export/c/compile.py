"""Compiles a C export with this machine's own compiler and runs its check."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from p2vit.errors import P2vitError
from p2vit.export.c.write import CExport

#: A compiler that takes longer than so many seconds is stopped.
TIMEOUT_SECONDS = 600


def count_differences(export: CExport) -> int | None:
    """Compile an export here and compare its outputs with the vectors in it.

    Args:
        export: The files.

    Returns:
        How many outputs differ; None where there is no C compiler.

    Raises:
        P2vitError: it does not compile, or the program stops by itself.
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
        raise P2vitError(f"the exported C program stopped before it was done: {said[-300:]}")
    return int(found[1])


def _run(command: list[str], folder: Path, fails: bool = False) -> str:
    """What a command prints.

    Raises:
        P2vitError: it cannot be run, or fails where it must not.
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
        raise P2vitError(f"{command[0]}: {error}; name another C compiler with the variable CC") from None
    if done.returncode and not fails:
        raise P2vitError(
            f"{command[0]} does not compile the exported C: {done.stderr.strip()[-300:]}; name another C compiler "
            "with the variable CC"
        )
    return done.stdout
