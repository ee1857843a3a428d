"""Evaluates points of a search, in this process or shared out: the figures are the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.edit import edit_machine
from p2vit.accel.evaluate import Builder, Figures, evaluate_points
from p2vit.accel.explore import Evaluator
from p2vit.accel.machine import Machine
from p2vit.accel.workload import Workload
from p2vit.cluster import Pool


@dataclass(frozen=True)
class _Evaluate:
    """Evaluates a batch of points; an object, so that it can be sent to another process."""

    machine: Machine
    workloads: dict[int, Workload]
    build: Builder

    def __call__(self, points: Sequence[dict[str, float]]) -> list[Figures]:
        return evaluate_points(self.machine, self.workloads, points, self.build)


def evaluator(
    machine: Machine, workloads: dict[int, Workload], pool: Pool, build: Builder = edit_machine
) -> Evaluator:
    """An evaluator of batches of points.

    Args:
        machine: The machine that points change.
        workloads: The model by weight bits.
        pool: Who evaluates.
        build: Makes the machine of a point; a module's function, so that it can be sent to another process.

    Returns:
        The evaluator. The figures are the same on every pool and with any number of workers.
    """
    evaluate = _Evaluate(machine, workloads, build)

    def evaluate_batches(points: Sequence[dict[str, float]]) -> list[Figures]:
        size = max(1, -(-len(points) // pool.workers))
        batches = [points[start : start + size] for start in range(0, len(points), size)]
        return [figures for batch in pool.map(evaluate, batches) for figures in batch]

    return evaluate_batches
