"""The native CPU engine: compiled kernels that return exactly the reference's integers, many times faster.

No torch and no BLAS at run time. The instruction set is chosen at run time, after a self-test;
``P2VIT_ISA`` forces one.
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
#: Rows that one thread takes through a stage at a time: their activations stay in the second cache.
CHUNK_ROWS = 256
#: Plans that are kept beside the one for the output alone; each has memory of its own.
MOST_PLANS = 8


#: How often a thread looks again before it sleeps, some 20 ns each.
SPINS = 1_000


class NativeUnavailableError(RuntimeError):
    """The compiled engine cannot run here; the message says why and what runs instead."""


def instruction_sets() -> dict[str, str]:
    """Instruction set → ``""`` if it can be used here, otherwise why not; best first."""
    if _native is None:
        return {}
    reasons = {}
    for name, built, supported in _native.instruction_sets():
        reasons[name] = "" if built and supported else "the CPU lacks it" if built else "not in this build"
    return reasons


@cache
def self_test(isa: str) -> str:
    """Run the self-test on one instruction set: ``""`` if it passed, otherwise the first case and tensor
    that failed.
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
    """The best instruction set that this CPU has and that passes the self-test, or the one that
    ``P2VIT_ISA`` names.

    Raises:
        NativeUnavailableError: there is none, or the one asked for cannot be used.
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
    """What the engine is on this machine.

    Returns:
        ``available``; ``isa`` that is used (or None); ``reason`` why it is unavailable; ``self_test``:
        instruction set → ``passed``, what failed, or why it cannot be used; ``threads``: CPUs that it uses
        unless told otherwise.
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
    """Rate of the dot-product instruction on registers alone, GMAC/s of all threads; 0 for sets without
    one.
    """
    return 0.0 if _native is None else float(_native.peak_gmacs(isa, threads, milliseconds))


class NativeExecutor(Executor):
    """Runs a program on compiled kernels.

    Safe to call from several Python threads: calls queue up, the interpreter lock is released while one
    computes.

    Attributes:
        isa: The instruction set in use.
        threads: Upper bound of the threads that compute.
    """

    name = "native"
    #: What is asked for decides what is computed: ``verify`` tries random sets.
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
        """Pack the weights.

        Args:
            program: What to run.
            threads: Bound on the threads that compute; all CPUs of the process if None.
            isa: Instruction set; the best one, or ``P2VIT_ISA``, if None.
            chunk_rows: Rows that a thread takes through a stage at a time.
            tested: Whether to run the self-test before first use.

        Raises:
            NativeUnavailableError: the engine cannot run on this machine.
            RefusedProgramError: the program has something that the engine cannot run; the message names the
                node.
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
            # What cannot be shown on request is refused now, not in the middle of a run.
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
            Name → integers [B, ...].

        Raises:
            ValueError: pixels of another shape or dtype than the program's.
            ProgramError: ``keep`` names a tensor that the program does not have.
        """
        self.program.expect_pixels(pixels)
        plan, builder = self._plan(frozenset(self.program.among(keep, "keep")))
        outputs = [np.empty((len(pixels), *spec.shape), spec.dtype) for spec in builder.outputs]
        plan.run(np.ascontiguousarray(pixels), outputs)
        return {spec.name: array for spec, array in zip(builder.outputs, outputs, strict=True)}

    def _plan(self, keep: frozenset[str]) -> tuple[Any, PlanBuilder]:
        """The compiled plan for a set of wanted tensors, made at first use; the oldest ones make room."""
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
        """An empty plan, and what will fill it for a set of wanted tensors."""
        height, width, channels = self.program.pixels.shape
        plan = _native.Plan(self._pool, self.isa, height, width, channels, self._chunk_rows)
        wanted = (keep - {PIXELS}) | set(self.program.results)
        return plan, PlanBuilder(self.program, wanted, plan, self._weights)

    def set_profiling(self, on: bool = True) -> None:
        """Switch the per-operator clock on (from zero) or off; it costs a few per cent."""
        with self._lock:
            self._profiling = on
            for plan, _ in self._plans.values():
                plan.set_profiling(on)

    def profile(self) -> dict[str, int]:
        """Nanoseconds per node since profiling was switched on, summed over images and threads.

        A fused step's time stands with its first node and 0 with the others; attention's is split into
        scores, softmax and values. Packing keys and values counts as scores and values.
        """
        times = {node.name: 0 for node in self.program.nodes}
        plan, _ = self._plan(frozenset())
        for nodes, parts in plan.profile():
            for name, ns in zip(nodes, parts if len(nodes) == 3 and parts[1] else [sum(parts)], strict=False):
                times[name] += ns
        return times

    @property
    def memory(self) -> dict[str, int]:
        """Bytes: ``weights`` packed, ``arena`` of activations of all plans."""
        return {
            "weights": self._weights.bytes,
            "arena": sum(plan.arena_bytes for plan, _ in self._plans.values()),
        }
