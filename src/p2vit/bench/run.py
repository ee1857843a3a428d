"""Measure the speed of several runtimes in one run. They take turns, so that load on the machine affects all."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.bench.models import shape_of
from p2vit.bench.peers import ALIASES, PEERS, Runner
from p2vit.bench.statement import ratio_interval, statement
from p2vit.bench.surroundings import QUIET, PackageEnergy, busy_share
from p2vit.engine.native import NativeExecutor, peak_gmacs
from p2vit.engine.native.graph import Graph
from p2vit.program.graph import IntegerProgram, node_macs
from p2vit.standard_output import standard_output_aside


def resolve(names: Sequence[str]) -> list[str]:
    """Return the full names of runtimes.

    Raises:
        ValueError: A name is unknown; the message lists the known names.
    """
    full = [ALIASES.get(name, name) for name in names]
    for name in full:
        if name not in PEERS:
            raise ValueError(
                f"--against: there is no runtime {name!r}; allowed are {', '.join([*ALIASES, *PEERS])}"
            )
    return full


def take_turns(
    entrants: dict[str, Runner],
    rounds: int,
    calls: int,
    energy: PackageEnergy | None = None,
    joules: dict[str, list[float]] | None = None,
) -> dict[str, list[float]]:
    """Measure the wall-clock seconds of every timed call.

    In each round each runtime first runs once without timing, to fill caches and wake threads, then ``calls`` times.
    The order rotates from round to round.

    Args:
        entrants: Name → function that runs one batch.
        rounds: Number of rounds.
        calls: Number of timed calls per round.
        energy: Energy counters to read around the timed calls of each round.
        joules: Receives name → energy of the timed calls of each round, in J.

    Returns:
        Name → seconds of each timed call.
    """
    names = list(entrants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            run = entrants[name]
            time.sleep(0.002)  # let the threads of the previous runtime stop spinning
            run()
            before = energy.read() if energy else []
            for _ in range(calls):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
            if energy and joules is not None:
                joules.setdefault(name, []).append(energy.joules_since(before))
    return seconds


def fast(values: Sequence[float]) -> float:
    """Return the lowest decile: the time of a call that other processes do not disturb."""
    return statistics.quantiles(values, n=10, method="inclusive")[0]


def burst(isa: str, threads: int) -> float:
    """Return the peak rate of the dot-product instruction in GMAC/s: the best of a few bursts of about one call each.

    A burst is slower if another process disturbs it, or if the clock has not risen yet.
    """
    return max(peak_gmacs(isa, threads, milliseconds) for milliseconds in (4, 8, 8))


def add_peak(rows: list[dict[str, Any]], peak: float) -> None:
    """Add the share of the peak rate to the rows of the native engine.

    Args:
        rows: Rows of one or several reports.
        peak: Peak rate in GMAC/s, the best of all reports.
    """
    for row in rows:
        if "gmacs" in row:
            row["peak_gmacs"] = round(peak, 1)
            row["peak_share"] = round(row["gmacs"] / peak, 3)
            row["fast_peak_share"] = round(row["fast_gmacs"] / peak, 3)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def executed_macs(program: IntegerProgram) -> int:
    """Return the multiply-accumulates that the engine executes. It skips rows that no operator reads."""
    graph = Graph(program, frozenset(program.results))
    total = 0
    for node in program.nodes:
        if node.name in graph.rows:
            rows, (_, needed) = graph.all_rows(node.name)[1], graph.rows[node.name]
            total += node_macs(node, program.tensors) * needed // rows
    return total


def profile_of(executor: NativeExecutor, pixels: np.ndarray, runs: int = 10) -> list[dict[str, Any]]:
    """Return the thread time of one image by operator, summed over the blocks, the largest share first."""
    executor.run(pixels)
    executor.set_profiling()
    for _ in range(runs):
        executor.run(pixels)
    sums: dict[str, float] = {}
    for name, ns in executor.profile().items():
        short = name.split(".", 2)[-1] if name.startswith("blocks.") else name
        sums[short] = sums.get(short, 0) + ns / runs / len(pixels) / 1e6
    executor.set_profiling(False)
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return [
        {"operator": name, "ms": round(ms, 4), "share": round(ms / total, 4)}
        for name, ms in ordered
        if ms > 0
    ]


def run_bench(
    program: IntegerProgram,
    against: Sequence[str] = ("openvino", "onnxruntime"),
    batches: Sequence[int] = (1, 8),
    threads: int = 2,
    rounds: int = 20,
    cache: Path = Path("out/bench"),
    isa: str | None = None,
    profile: bool = False,
) -> dict[str, Any]:
    """Compare the native engine with other runtimes on a ViT of the program's shape.

    Args:
        program: The program for the native engine.
        against: Other runtimes, by the names of :data:`p2vit.bench.peers.PEERS` or their short names.
        batches: Batch sizes.
        threads: Number of CPU threads of each runtime.
        rounds: Number of rounds per batch size.
        cache: Folder for the other runtimes' models.
        isa: Instruction set of the native engine; the best one if None.
        profile: Also measure the time of each operator.

    Returns:
        ``rows``: for each batch size and runtime ``name``, ``batch``, ``median_ms`` per image, ``quartiles_ms``,
        ``p99_ms`` (99th percentile), ``ratio`` (its median over that of p2vit) with its 95 % ``ratio_interval``,
        ``fast_ms`` and ``fast_ratio`` (the same for the lowest decile), ``note``, and ``joules_per_image`` of the
        processor packages where the kernel exposes them, otherwise None. The row of p2vit also has ``gmacs`` (GMAC/s,
        see :func:`executed_macs`), ``fast_gmacs``, ``peak_gmacs`` (best rate of the dot-product instruction in any
        burst, with the same number of threads), and ``peak_share`` and ``fast_peak_share``, the fractions of this peak.
        ``notes``: why a runtime does not run the model that its name says, and what to install; other load.
        ``summary``: one sentence per other runtime and batch size: who is faster, by how much, how sure that is.
        ``busy_share``: share of the CPU time that other processes took at the start, or None.
        ``profile``, if asked for: milliseconds of thread time per image and operator.

    Raises:
        ValueError: A runtime is unknown, or the program is not a plain ViT.
    """
    names, shape = resolve(against), shape_of(program)
    ours = NativeExecutor(program, threads=threads, isa=isa)
    executed = executed_macs(program)
    rows = []
    peaks: list[float] = []
    warnings: list[str] = []
    busy, energy = busy_share(), PackageEnergy()
    if busy is not None and busy > QUIET:
        warnings.append(
            f"other processes take {100 * busy:.0f} % of the CPU time, so the times are not those of an idle machine; "
            "wait until they end, and measure again"
        )
    summary: list[str] = []
    for batch in batches:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *program.pixels.shape), dtype=np.uint8)
        entrants: dict[str, Runner] = {"p2vit": lambda pixels=pixels: ours.run(pixels)}  # type: ignore[misc]
        notes = {"p2vit": f"native, {ours.isa}"}
        for name in names:
            with standard_output_aside():  # NNCF and others print their progress to standard output
                entrants[name], notes[name], warning = PEERS[name](shape, batch, threads, cache)
            if warning and warning not in warnings:
                warnings.append(warning)
        if peak_gmacs(ours.isa, threads):
            entrants["peak"] = lambda: peaks.append(burst(ours.isa, threads))
        joules: dict[str, list[float]] = {}
        calls = 3 if batch == 1 else 1
        with standard_output_aside():
            seconds = take_turns(entrants, rounds, calls, energy if energy.counters else None, joules)
        mine = statistics.median(seconds["p2vit"])
        for name in ("p2vit", *names):
            low, middle, high = (1000 * q / batch for q in quartiles(seconds[name]))
            row: dict[str, Any] = {
                "name": name,
                "batch": batch,
                "median_ms": round(middle, 3),
                "quartiles_ms": [round(low, 3), round(high, 3)],
                "p99_ms": round(1000 * float(np.percentile(seconds[name], 99)) / batch, 3),
                "ratio": round(statistics.median(seconds[name]) / mine, 3),
                "ratio_interval": [1.0, 1.0],
                "fast_ms": round(1000 * fast(seconds[name]) / batch, 3),
                "fast_ratio": round(fast(seconds[name]) / fast(seconds["p2vit"]), 3),
                "note": notes[name],
                "joules_per_image": None,
            }
            if name in joules:
                row["joules_per_image"] = round(statistics.fmean(joules[name]) / calls / batch, 5)
            if name != "p2vit":
                row["ratio_interval"] = list(ratio_interval(seconds[name], seconds["p2vit"]))
                summary.append(statement(row))
            if name == "p2vit":
                row["gmacs"] = round(executed * batch / mine / 1e9, 1)
                row["fast_gmacs"] = round(executed * batch / fast(seconds["p2vit"]) / 1e9, 1)
            rows.append(row)
    if peaks:
        add_peak(rows, max(peaks))
    report: dict[str, Any] = {
        "rows": rows,
        "threads": threads,
        "rounds": rounds,
        "shape": shape.key,
        "macs": program.macs,
        "executed_macs": executed,
        "notes": warnings,
        "summary": summary,
        "busy_share": busy,
    }
    if profile:
        report["profile"] = profile_of(ours, pixels)
    return report
