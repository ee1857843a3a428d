"""Compiles the C of a program to WebAssembly: with relaxed SIMD, with SIMD and without."""

import importlib.util
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from p2vit.errors import MissingPackageError, P2vitError
from p2vit.export.c.write import CExport

Variant = Literal["relaxed", "simd", "scalar"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
#: Instructions of each variant. Without SIMD, nothing is used that the first version of WebAssembly did not have.
INSTRUCTIONS: dict[Variant, tuple[str, ...]] = {
    "relaxed": ("-mcpu=mvp+simd128+bulk_memory+relaxed_simd",),
    "simd": ("-mcpu=mvp+simd128+bulk_memory",),
    # Without bulk memory, a loop that copies must not become a call of memcpy, which does not exist here.
    "scalar": ("-mcpu=mvp", "-fno-builtin"),
}
OPTIONS = (
    "-target",
    "wasm32-freestanding",
    "-std=c99",
    "-O3",
    "-ffreestanding",
    "-fno-strict-aliasing",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
)
#: Seconds after which the compiler is stopped.
TIMEOUT_SECONDS = 600


def compile_modules(export: CExport) -> dict[Variant, bytes]:
    """Compile a C export to WebAssembly. Weights are not part of the modules.

    Args:
        export: The files of the program in C.

    Returns:
        Variant → module.

    Raises:
        MissingPackageError: ziglang, which has the compiler, is not installed.
        P2vitError: The compiler fails; the message has its last lines.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise MissingPackageError("ziglang", "compiling to WebAssembly", "web")
    with tempfile.TemporaryDirectory(prefix="p2vit-web-") as name:
        folder = Path(name)
        for file, content in export.files.items():
            if file.endswith((".c", ".h")) and file not in ("check.c", "weights.c"):
                (folder / file).write_bytes(content)
        (folder / "module.c").write_bytes((files("p2vit.export.web") / "assets" / "module.c").read_bytes())
        sources = sorted(file.name for file in folder.glob("*.c"))
        return {variant: _compile(folder, sources, variant) for variant in VARIANTS}


def _compile(folder: Path, sources: list[str], variant: Variant) -> bytes:
    command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS, *INSTRUCTIONS[variant]]
    try:
        done = subprocess.run(
            [*command, "-o", f"{variant}.wasm", *sources],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise P2vitError(f"the compiler of the package ziglang does not run: {error}") from None
    if done.returncode:
        raise P2vitError(
            f"the compiler of the package ziglang does not compile the program: {done.stderr.strip()[-300:]}. Install "
            "a newer one with: pip install -U ziglang"
        )
    return (folder / f"{variant}.wasm").read_bytes()
