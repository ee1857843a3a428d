"""What this machine has: processors, instruction sets, installed packages. Reads only, imports nothing heavy."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Instruction sets that matter for int8 products, as the kernel names them, and as people do.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512bw": "AVX-512BW",
    "avx512_vnni": "AVX-512 VNNI",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 matrix",
}


def processor() -> str:
    """The processor's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Names of the instruction sets in `INSTRUCTION_SETS` that the processor has."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def installed(package: str) -> str:
    """Version of an installed distribution, or an empty string; nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpuinfo(key: str) -> str:
    """First value of a key in the kernel's description of the processor, or an empty string."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""
