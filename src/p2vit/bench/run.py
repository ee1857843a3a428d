"""Speed side by side: every entrant takes its turn in every round of one run, so that a busy machine is
unfair to all alike.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.bench.models import shape_of
from p2vit.bench.peers import ALIASES, PEERS, Runner
from p2vit.engine.native import NativeExecutor, peak_gmacs
from p2vit.engine.native.graph import Graph
from p2vit.program.graph import IntegerProgram, node_macs
from p2vit.standard_output import standard_output_aside


def resolve(names: Sequence[str]) -> list[str]:
    """Full names of peers.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    full = [ALIASES.get(name, name) for name in names]
    for name in full:
        if name not in PEERS:
            raise ValueError(f"unknown peer {name!r}; allowed are {', '.join([*ALIASES, *PEERS])}")
    return full


def take_turns(entrants: dict[str, Runner], rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds of every timed call.

    In each round each entrant runs once untimed (caches and threads are its own again), then ``calls``
    times. The order is rotated from round to round.
    """
    names = list(entrants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            run = entrants[name]
            time.sleep(0.002)  # the threads of the one before stop spinning
            run()
            for _ in range(calls):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    return seconds


def fast(values: Sequence[float]) -> float:
    """The lowest decile: what a call takes when other processes leave the CPU alone."""
    return statistics.quantiles(values, n=10, method="inclusive")[0]


def burst(isa: str, threads: int) -> float:
    """The instruction's rate over a few bursts, each as long as a call or so: the best one. A burst that another
    process disturbs is no peak, and neither is one before the clock has risen.
    """
    return max(peak_gmacs(isa, threads, milliseconds) for milliseconds in (4, 8, 8))


def add_peak(rows: list[dict[str, Any]], peak: float) -> None:
    """Relate our own rows to the instruction's rate; with rows of several reports, to the best of them all."""
    for row in rows:
        if "gmacs" in row:
            row["peak_gmacs"] = round(peak, 1)
            row["peak_share"] = round(row["gmacs"] / peak, 3)
            row["fast_peak_share"] = round(row["fast_gmacs"] / peak, 3)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def executed_macs(program: IntegerProgram) -> int:
    """Multiply-accumulates that the engine carries out: rows that nobody reads are left out."""
    graph = Graph(program, frozenset(program.results))
    total = 0
    for node in program.nodes:
        if node.name in graph.rows:
            rows, (_, needed) = graph.all_rows(node.name)[1], graph.rows[node.name]
            total += node_macs(node, program.tensors) * needed // rows
    return total


def profile_of(executor: NativeExecutor, pixels: np.ndarray, runs: int = 10) -> list[dict[str, Any]]:
    """Where the time of one image goes, by operator of a block; the largest share first."""
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
        program: What to run.
        against: Peers, by the names of :data:`p2vit.bench.peers.PEERS` or their short forms.
        batches: Images per call.
        threads: Bound for everybody.
        rounds: Turns of each entrant per batch size.
        cache: Folder for the peers' models.
        isa: Instruction set of the native engine; the best one if None.
        profile: Whether to add where our time goes.

    Returns:
        ``rows``: per batch and entrant ``name``, ``batch``, ``median_ms`` per image and its quartiles,
        ``ratio``: the peer's median over ours, ``fast_ms`` and ``fast_ratio``: the same of the lowest
        deciles, and ``note``. Ours also has ``gmacs`` (carried out, see :func:`executed_macs`) and ``fast_gmacs``;
        ``peak_gmacs``: the best that the dot-product instruction reached in any burst between the turns, on as many
        threads; ``peak_share`` and ``fast_peak_share``, the shares of it.
        ``notes``: why a peer runs something else than its name says, and what to install.
        ``profile``, if asked for: milliseconds of thread time per image and operator.

    Raises:
        ValueError: an unknown peer, or a program that is no plain ViT.
    """
    names, shape = resolve(against), shape_of(program)
    ours = NativeExecutor(program, threads=threads, isa=isa)
    executed = executed_macs(program)
    rows = []
    peaks: list[float] = []
    warnings: list[str] = []
    for batch in batches:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *program.pixels.shape), dtype=np.uint8)
        entrants: dict[str, Runner] = {"p2vit": lambda pixels=pixels: ours.run(pixels)}  # type: ignore[misc]
        notes = {"p2vit": f"native, {ours.isa}"}
        for name in names:
            with standard_output_aside():  # NNCF and others show their progress there
                entrants[name], notes[name], warning = PEERS[name](shape, batch, threads, cache)
            if warning and warning not in warnings:
                warnings.append(warning)
        if peak_gmacs(ours.isa, threads):
            entrants["peak"] = lambda: peaks.append(burst(ours.isa, threads))
        with standard_output_aside():
            seconds = take_turns(entrants, rounds, calls=3 if batch == 1 else 1)
        mine = statistics.median(seconds["p2vit"])
        for name in ("p2vit", *names):
            low, middle, high = (1000 * q / batch for q in quartiles(seconds[name]))
            row: dict[str, Any] = {
                "name": name,
                "batch": batch,
                "median_ms": round(middle, 3),
                "quartiles_ms": [round(low, 3), round(high, 3)],
                "ratio": round(statistics.median(seconds[name]) / mine, 3),
                "fast_ms": round(1000 * fast(seconds[name]) / batch, 3),
                "fast_ratio": round(fast(seconds[name]) / fast(seconds["p2vit"]), 3),
                "note": notes[name],
            }
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
    }
    if profile:
        report["profile"] = profile_of(ours, pixels)
    return report
