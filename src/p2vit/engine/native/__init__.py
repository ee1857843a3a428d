"""The native CPU engine: compiled kernels that return exactly the reference's integers."""

from p2vit.engine.native.executor import (
    NativeExecutor,
    NativeUnavailableError,
    instruction_sets,
    peak_gmacs,
    status,
)

__all__ = [
    "NativeExecutor",
    "NativeUnavailableError",
    "instruction_sets",
    "peak_gmacs",
    "status",
]
