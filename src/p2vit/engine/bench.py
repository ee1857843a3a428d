"""Speed side by side: every entrant takes its turn in every round of one run, so that a busy machine is unfair to all alike."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.bench_models import shape_of
from p2vit.engine.bench_peers import ALIASES, PEERS, Runner
from p2vit.engine.native import NativeExecutor, peak_gmacs
from p2vit.program.graph import IntegerProgram


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

    In each round each entrant runs once untimed (caches and threads are its own again), then ``calls`` times. The
    order is rotated from round to round.
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


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def run_bench(
    program: IntegerProgram,
    against: Sequence[str] = ("openvino", "onnxruntime"),
    batches: Sequence[int] = (1, 8),
    threads: int = 2,
    rounds: int = 20,
    cache: Path = Path("out/bench"),
    isa: str | None = None,
) -> dict[str, Any]:
    """Compare the native engine with other runtimes on a ViT of the program's shape.

    Args:
        program: What to run.
        against: Peers, by the names of :data:`p2vit.engine.bench_peers.PEERS` or their short forms.
        batches: Images per call.
        threads: Bound for everybody.
        rounds: Turns of each entrant per batch size.
        cache: Folder for the peers' models.
        isa: Instruction set of the native engine; the best one if None.

    Returns:
        ``rows``: per batch and entrant ``name``, ``batch``, ``median_ms`` and its quartiles per image, ``ratio``: the
        peer's median over ours, and ``note``; for ours also ``gmacs`` and ``peak_share``: the share of the dot-product
        instruction's rate, which was measured in the same rounds.

    Raises:
        ValueError: an unknown peer, or a program that is no plain ViT.
    """
    names, shape = resolve(against), shape_of(program)
    ours = NativeExecutor(program, threads=threads, isa=isa)
    rows = []
    for batch in batches:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *program.pixels.shape), dtype=np.uint8)
        entrants: dict[str, Runner] = {"p2vit": lambda pixels=pixels: ours.run(pixels)}  # type: ignore[misc]
        notes = {"p2vit": f"native, {ours.isa}"}
        for name in names:
            entrants[name], notes[name] = PEERS[name](shape, batch, threads, cache)
        peaks: list[float] = []
        if peak_gmacs(ours.isa, threads):
            entrants["peak"] = lambda: peaks.append(peak_gmacs(ours.isa, threads))
        seconds = take_turns(entrants, rounds, calls=3 if batch == 1 else 1)
        mine = statistics.median(seconds["p2vit"])
        for name in ("p2vit", *names):
            low, middle, high = (1000 * q / batch for q in quartiles(seconds[name]))
            row: dict[str, Any] = {
                "name": name, "batch": batch, "median_ms": round(middle, 3), "quartiles_ms": [round(low, 3), round(high, 3)],
                "ratio": round(statistics.median(seconds[name]) / mine, 3), "note": notes[name],
            }  # fmt: skip
            if name == "p2vit":
                row["gmacs"] = round(program.macs * batch / mine / 1e9, 1)
                if peaks:
                    row["peak_gmacs"] = round(statistics.median(peaks), 1)
                    row["peak_share"] = round(row["gmacs"] / row["peak_gmacs"], 3)
            rows.append(row)
    return {"rows": rows, "threads": threads, "rounds": rounds, "shape": shape.key, "macs": program.macs}
