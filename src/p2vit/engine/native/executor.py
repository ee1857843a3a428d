"""The native executor: compiled kernels that return exactly the reference's integers, but many times faster.

It needs neither torch nor BLAS. The instruction set is chosen at run time, after a self-test. The environment variable
``P2VIT_ISA`` selects another one.
"""

import os
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor, RefusedProgramError
from p2vit.engine.native.plan import PlanBuilder
from p2vit.engine.native.selftest import cases
from p2vit.engine.native.weights import Weights
from p2vit.numerics.rounding import IntArray
from p2vit.processors import available_cpus
from p2vit.program.graph import PIXELS, IntegerProgram

try:
    from p2vit.engine.native import _native  # type: ignore[attr-defined]

    _import_error = ""
except ImportError as error:
    _native = None
    _import_error = "" if "cannot import name" in str(error) else f" ({error})"

ISA_VARIABLE = "P2VIT_ISA"
#: Rows that a thread takes through a stage at a time; their activations fit the level-2 cache.
CHUNK_ROWS = 256
#: Plans that are kept besides the one for the output alone. Each plan has its own memory.
MOST_PLANS = 8


#: Times that an idle thread polls for work before it sleeps; about 20 ns each.
SPINS = 1_000


class NativeUnavailableError(RuntimeError):
    """The native engine cannot run here. The message gives the reason and the alternatives."""


def instruction_sets() -> dict[str, str]:
    """Return the instruction sets, best first: name → ``""`` if it can be used here, otherwise the reason."""
    if _native is None:
        return {}
    reasons = {}
    for name, built, supported in _native.instruction_sets():
        missing = "the CPU or the system lacks it" if built else "not in this build"
        reasons[name] = "" if built and supported else missing
    return reasons


@cache
def self_test(isa: str) -> str:
    """Run the self-test on one instruction set.

    Returns:
        ``""`` if it passed, otherwise the first case and tensor that differ from the reference.
    """
    for name, program, pixels, expected in cases():
        produced = NativeExecutor(program, threads=1, isa=isa, tested=False).run(pixels, keep=expected)
        for tensor, integers in expected.items():
            if not np.array_equal(produced[tensor], integers):
                return f"{name}: tensor {tensor} differs from the reference"
        final = NativeExecutor(program, threads=2, isa=isa, tested=False).run(pixels)
        if not np.array_equal(final[program.output], expected[program.output]):
            return f"{name}: the fused plan differs from the reference"
    return ""


def choose_isa() -> str:
    """Return the best instruction set that passes the self-test, or the one that ``P2VIT_ISA`` names.

    Raises:
        NativeUnavailableError: There is none, or the one that ``P2VIT_ISA`` names cannot be used.
    """
    reasons = instruction_sets()
    if not reasons:
        raise NativeUnavailableError(
            f"the native engine was not built{_import_error}; install p2vit where a C++20 compiler is found, "
            "or use the reference or torch executor"
        )
    forced = os.environ.get(ISA_VARIABLE, "")
    if forced:
        if forced not in reasons:
            raise NativeUnavailableError(f"{ISA_VARIABLE} is {forced!r}; allowed are {', '.join(reasons)}")
        if reasons[forced]:
            raise NativeUnavailableError(f"{ISA_VARIABLE} is {forced!r}: {reasons[forced]}")
        if failure := self_test(forced):
            raise NativeUnavailableError(f"{ISA_VARIABLE} is {forced!r}, whose self-test failed: {failure}")
        return forced
    for name, reason in reasons.items():
        if not reason and not self_test(name):
            return name
    raise NativeUnavailableError(
        "every instruction set failed its self-test; use the reference or torch executor"
    )


def status() -> dict[str, Any]:
    """Describe the native engine on this machine.

    Returns:
        ``available``: whether it can run. ``isa``: the instruction set in use, or None. ``reason``: why it cannot run.
        ``self_test``: instruction set → ``passed``, the failure, or why it cannot be used. ``threads``: default number
        of threads.
    """
    tests = {
        name: reason or (f"failed: {failure}" if (failure := self_test(name)) else "passed")
        for name, reason in instruction_sets().items()
    }
    try:
        isa, reason = choose_isa(), ""
    except NativeUnavailableError as error:
        isa, reason = None, str(error)
    return {
        "available": isa is not None,
        "isa": isa,
        "reason": reason,
        "self_test": tests,
        "threads": available_cpus(),
    }


def peak_gmacs(isa: str, threads: int, milliseconds: int = 4) -> float:
    """Measure the peak rate of the dot-product instruction on registers.

    Args:
        isa: Name of the instruction set.
        threads: Number of threads.
        milliseconds: Duration of the measurement.

    Returns:
        GMAC/s of all threads together; 0 for an instruction set without such an instruction.
    """
    return 0.0 if _native is None else float(_native.peak_gmacs(isa, threads, milliseconds))


class NativeExecutor(Executor):
    """Runs a program on compiled kernels.

    Several Python threads may call it. Calls run one after the other, and the interpreter lock is released while one
    computes.

    Attributes:
        isa: Name of the instruction set in use.
        threads: Largest number of threads that compute.
    """

    name = "native"
    #: Which tensors are kept changes which steps run, so ``verify`` also tries random sets of tensors.
    plans_by_keep = True

    def __init__(
        self,
        program: IntegerProgram,
        threads: int | None = None,
        isa: str | None = None,
        *,
        chunk_rows: int = CHUNK_ROWS,
        tested: bool = True,
    ) -> None:
        """Pack the weights and make the plan.

        Args:
            program: The program to run.
            threads: Largest number of threads; None uses all processor cores of the process.
            isa: Name of the instruction set; None uses ``P2VIT_ISA``, or the best one.
            chunk_rows: Rows that a thread takes through a stage at a time.
            tested: Run the self-test of ``isa`` before its first use.

        Raises:
            NativeUnavailableError: The engine cannot run on this machine.
            RefusedProgramError: The engine cannot run this program. The message names the node.
        """
        self.program = program
        if _native is None or isa is None:
            isa = choose_isa()
        elif tested and (failure := self_test(isa)):
            raise NativeUnavailableError(f"the self-test of {isa} failed: {failure}")
        self.isa = isa
        self.threads = available_cpus() if threads is None else threads
        self._chunk_rows = chunk_rows
        self._pool = _native.Pool(self.threads, SPINS)
        self._plans: dict[frozenset[str], tuple[Any, PlanBuilder]] = {}
        self._lock = threading.Lock()
        self._profiling = False
        try:
            self._weights = Weights(_native, program)
            self._plan(frozenset())
            # A plan for all tensors finds nodes now that would otherwise fail in a later run with ``keep``.
            self._builder(frozenset(node.name for node in program.nodes))[1].emit()
        except ValueError as error:
            reason = str(error).removeprefix("native engine: ")
            raise RefusedProgramError(f"native engine: {reason}") from error

    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch.

        Args:
            pixels: uint8 [B, H, W, 3].
            keep: Names of tensors to return besides the program's results: output, feature and feature maps.

        Returns:
            Tensor name → integers [B, ...].

        Raises:
            ValueError: The pixels do not have the shape and dtype of the program's input.
            ProgramError: ``keep`` names a tensor that the program does not have.
        """
        self.program.expect_pixels(pixels)
        plan, builder = self._plan(frozenset(self.program.among(keep, "keep")))
        outputs = [np.empty((len(pixels), *spec.shape), spec.dtype) for spec in builder.outputs]
        plan.run(np.ascontiguousarray(pixels), outputs)
        return {spec.name: array for spec, array in zip(builder.outputs, outputs, strict=True)}

    def _plan(self, keep: frozenset[str]) -> tuple[Any, PlanBuilder]:
        """Return the plan for a set of kept tensors, made at its first use. Old plans are dropped."""
        with self._lock:
            made = self._plans.pop(keep, None)
            if made is None:
                made = plan, builder = self._builder(keep)
                builder.build()
                plan.set_profiling(self._profiling)
            self._plans[keep] = made
            spare = [each for each in self._plans if each]
            for oldest in spare[: max(len(spare) - MOST_PLANS, 0)]:
                del self._plans[oldest]
            return made

    def _builder(self, keep: frozenset[str]) -> tuple[Any, PlanBuilder]:
        """Return an empty plan, and the builder that fills it for a set of kept tensors."""
        height, width, channels = self.program.pixels.shape
        plan = _native.Plan(self._pool, self.isa, height, width, channels, self._chunk_rows)
        wanted = (keep - {PIXELS}) | set(self.program.results)
        return plan, PlanBuilder(self.program, wanted, plan, self._weights)

    def set_profiling(self, on: bool = True) -> None:
        """Start the profile from zero, or stop it. It costs a few per cent of the speed."""
        with self._lock:
            self._profiling = on
            for plan, _ in self._plans.values():
                plan.set_profiling(on)

    def profile(self) -> dict[str, int]:
        """Return the nanoseconds per node since profiling started, summed over images and threads.

        The time of a fused step is given for its first node, and 0 for its other nodes. Attention is split into scores,
        softmax and values; packing of keys counts as scores, packing of values as values.
        """
        times = {node.name: 0 for node in self.program.nodes}
        plan, _ = self._plan(frozenset())
        for nodes, parts in plan.profile():
            for name, ns in zip(nodes, parts if len(nodes) == 3 and parts[1] else [sum(parts)], strict=False):
                times[name] += ns
        return times

    @property
    def memory(self) -> dict[str, int]:
        """Memory in bytes: ``weights`` after packing, and ``arena``, the activations of all plans."""
        return {
            "weights": self._weights.bytes,
            "arena": sum(plan.arena_bytes for plan, _ in self._plans.values()),
        }
