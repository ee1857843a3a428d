"""Evaluates the points of a design-space search, in this process or on a worker pool."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2vit.accel.explore.evaluate import Builder, Figures, evaluate_points
from p2vit.accel.explore.search import Evaluator
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.workload.operations import Workload
from p2vit.cluster import Pool


@dataclass(frozen=True)
class _Evaluate:
    """Evaluates a batch of points. It is an object so that it can be sent to another process."""

    machine: Machine
    workloads: dict[int, Workload]
    build: Builder

    def __call__(self, points: Sequence[dict[str, float]]) -> list[Figures]:
        return evaluate_points(self.machine, self.workloads, points, self.build)


def evaluator(
    machine: Machine, workloads: dict[int, Workload], pool: Pool, build: Builder = edit_machine
) -> Evaluator:
    """Make an evaluator of batches of points.

    Args:
        machine: Machine that the points change.
        workloads: Workload of the model by weight width.
        pool: Worker pool.
        build: Makes the machine of a point. It must be a module-level function, so that it can be sent to another
            process.

    Returns:
        Evaluator. Its figures do not depend on the pool or on the number of workers.
    """
    evaluate = _Evaluate(machine, workloads, build)

    def evaluate_batches(points: Sequence[dict[str, float]]) -> list[Figures]:
        size = max(1, -(-len(points) // pool.workers))
        batches = [points[start : start + size] for start in range(0, len(points), size)]
        return [figures for batch in pool.map(evaluate, batches) for figures in batch]

    return evaluate_batches
