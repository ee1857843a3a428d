"""What this machine has: processors, instruction sets, installed packages. Imports nothing heavy."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Instruction sets for int8 products: name in /proc/cpuinfo → common name.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512bw": "AVX-512BW",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX int8",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 matrix",
}


def processor() -> str:
    """Return the name of the processor."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Return the names of the instruction sets in `INSTRUCTION_SETS` that the processor has."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def installed(package: str) -> str:
    """Return the version of an installed distribution, or an empty string. This does not import it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpuinfo(key: str) -> str:
    """Return the first value of a key in /proc/cpuinfo, or an empty string."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""
