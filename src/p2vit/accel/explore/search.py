"""Design-space exploration: NSGA-II (Optuna) over machines, to a Pareto front. It can be resumed.

One process proposes and ranks the points, one generation at a time. Only the evaluation is spread over workers. So the
result depends on the seed and on the number of points, never on the number of workers. Every evaluated point is
appended to a log. A search that starts with an existing log proposes the same points again and takes their figures
from the log.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from p2vit.accel.explore.evaluate import WEIGHT_BITS, Figures
from p2vit.accel.explore.space import Space
from p2vit.accel.machine.description import Machine
from p2vit.accel.problems import AccelError
from p2vit.accel.workload.operations import Workload
from p2vit.files import LineFile

Evaluator = Callable[[Sequence[dict[str, float]]], list[Figures]]
GENERATION = 100


@dataclass(frozen=True)
class Point:
    """A point of the Pareto front.

    Attributes:
        parameters: Values by path, and ``weight_bits`` if the search chooses it.
        figures: latency_ms, energy_mj, area_mm2, power_mw, dsps and utilization.
    """

    parameters: dict[str, float]
    figures: dict[str, float]


@dataclass(frozen=True)
class Exploration:
    """Result of a search.

    Attributes:
        points: Number of proposed points.
        distinct: Number of different points among them.
        resumed: Number of points whose figures came from the log.
        feasible: Number of proposed points that fit and keep the budget.
        seconds: Wall-clock seconds.
        pareto: Pareto front of the feasible points, in the order of the first objective.
    """

    points: int
    distinct: int
    resumed: int
    feasible: int
    seconds: float
    pareto: tuple[Point, ...]


@dataclass
class _Log:
    """Log file of evaluated points in the order of their proposal. The first line identifies the search."""

    path: Path | None
    header: dict[str, Any]
    known: dict[str, Figures] = field(default_factory=dict)

    def open(self) -> None:
        if self.path is None:
            return
        file = LineFile(self.path)
        # A line that was cut off during a write is discarded; its point is evaluated again.
        lines, rest = file.read("the log of a search")
        first = json.dumps(self.header) + "\n"
        try:
            same = json.loads(lines[0]) == self.header if lines else first.startswith(rest)
        except ValueError:
            same = False
        if not same:
            raise AccelError(
                str(self.path),
                ["the log belongs to another search (model, machine, space or budget differ)"],
                "give another file, or delete this one",
            )
        for number, line in enumerate(lines[1:], start=2):
            try:
                entry = json.loads(line)
                self.known[key_of(entry["point"])] = Figures(**entry["figures"])
            except (ValueError, KeyError, TypeError):
                raise AccelError(
                    f"{self.path}:{number}",
                    ["is not a point of a search"],
                    "take the line out, or give another file",
                ) from None
        file.cut(lines)
        if not lines:
            file.append(first)

    def add(self, points: Sequence[dict[str, float]], figures: Sequence[Figures]) -> None:
        for point, found in zip(points, figures, strict=True):
            self.known[key_of(point)] = found
        if self.path is not None and points:
            entries = [
                json.dumps({"point": point, "figures": asdict(found)})
                for point, found in zip(points, figures, strict=True)
            ]
            LineFile(self.path).append("".join(entry + "\n" for entry in entries))


def key_of(point: dict[str, float]) -> str:
    """Return a text that is the same for equal points."""
    return json.dumps(point, sort_keys=True)


def explore(
    space: Space,
    machine: Machine,
    workloads: dict[int, Workload],
    evaluator: Evaluator,
    *,
    points: int,
    seed: int = 0,
    log: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exploration:
    """Search a space for the Pareto front.

    Args:
        space: Search space, already checked against ``machine``.
        machine: Machine that the points change.
        workloads: Workload of the model by weight width; see `p2vit.accel.explore.evaluate.evaluate_points`.
        evaluator: Evaluates a batch of points; see `p2vit.accel.explore.point_evaluator`.
        points: Number of points to propose.
        seed: Random seed of the optimizer.
        log: JSON-lines file to append to and to resume from; None keeps no log.
        progress: Called with the number of points done and the number of all points.

    Returns:
        Pareto front and counts.

    Raises:
        AccelError: ``log`` belongs to another search, or one of its lines is not a point.
    """
    started = time.perf_counter()
    header = {
        "machine": machine.model_dump(mode="json"),
        "space": space.model_dump(mode="json"),
        "model": sorted((bits, workload.name, workload.macs) for bits, workload in workloads.items()),
        "seed": seed,
    }
    record = _Log(log, json.loads(json.dumps(header)))
    record.open()
    study = _study(space, seed)
    seen: dict[str, tuple[dict[str, float], Figures]] = {}
    resumed = done = feasible = 0
    while done < points:
        trials = [study.ask() for _ in range(min(GENERATION, points - done))]
        proposed = [_propose(space, trial) for trial in trials]
        new = {key_of(point): point for point in proposed if key_of(point) not in record.known}
        record_before = len(new)
        record.add(list(new.values()), evaluator(list(new.values())) if new else [])
        resumed += len({key_of(point) for point in proposed} - set(seen)) - record_before
        for trial, point in zip(trials, proposed, strict=True):
            found = record.known[key_of(point)]
            seen[key_of(point)] = (point, found)
            violations = _violations(space, found)
            feasible += max(violations) <= 0
            for name, violation in zip(
                ("fits", *space.budget.model_dump(exclude_none=True)), violations, strict=True
            ):
                trial.set_constraint(name, violation)
            # A point that does not fit has no latency; its violation ranks it behind all points that fit.
            study.tell(trial, [found.values.get(name, 1e9) for name in space.objectives])
        done += len(trials)
        if progress:
            progress(done, points)
    good = [(point, found) for point, found in seen.values() if max(_violations(space, found)) <= 0]
    return Exploration(
        done,
        len(seen),
        resumed,
        feasible,
        time.perf_counter() - started,
        pareto_front(good, space.objectives),
    )


def _study(space: Space, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=seed)
    return optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)


def _propose(space: Space, trial: Any) -> dict[str, float]:
    point = {path: trial.suggest_categorical(path, list(values)) for path, values in space.parameters.items()}
    if space.weight_bits:
        point[WEIGHT_BITS] = trial.suggest_categorical(WEIGHT_BITS, list(space.weight_bits))
    return point


def _violations(space: Space, found: Figures) -> list[float]:
    """Return the constraint violations; none is positive if the point fits and keeps the budget."""
    if not found.fits:
        return [found.misfit, *([1.0] * len(space.budget.model_dump(exclude_none=True)))]
    return [0.0, *space.budget.excess(found.values)]


def pareto_front(
    points: Sequence[tuple[dict[str, float], Figures]], objectives: Sequence[str]
) -> tuple[Point, ...]:
    """Return the points that no other point dominates.

    Args:
        points: Feasible points with their figures.
        objectives: Names of the figures to minimize.

    Returns:
        Front in the order of the first objective. Of several points with equal objectives, it holds the first one
        proposed.
    """
    ordered = sorted(points, key=lambda item: [item[1].values[name] for name in objectives])
    front: list[tuple[list[float], Point]] = []
    for point, found in ordered:
        own = [found.values[name] for name in objectives]
        # In this order, a later point cannot dominate an earlier one.
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other, _ in front):
            front.append((own, Point(point, found.values)))
    return tuple(point for _, point in front)
