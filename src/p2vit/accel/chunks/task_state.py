"""State of each task in the event-driven simulation."""

from dataclasses import dataclass, field

from p2vit.accel.chunks.costs import MAC, SOFTMAX
from p2vit.accel.chunks.dataflow import Task, TaskSection
from p2vit.accel.chunks.memory import pipelined
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.machine.description import Machine


@dataclass
class TaskState:
    """Figures and state of one task while it is simulated.

    Attributes:
        index: Position among all tasks.
        section: Position of its section in the schedule.
        operation: Position of its operation in the section.
        window: TaskSection and phase; a chunk works on one phase at a time.
        chunk: Chunk that runs the task.
        passes: Number of weight tiles.
        groups: Row groups of one pass.
        occupied: Cycles that one tile occupies the chunk.
        starved: Cycles of ``occupied`` that wait for the weight buffer's port.
        exposed: Cycles of ``occupied`` that wait for re-quantization that is not hidden.
        requant: Re-quantization cycles of one tile.
        activation: Activation-buffer cycles of one tile.
        depth: Cycles from the end of a tile until another task may read it.
        needs: Producers: (task index, "rows" or "all", whether the tiles are followed pass by pass).
        reuses: Tasks that must finish before this one may write to their buffer space.
        load_bytes: DRAM bytes of one pass.
        weight_bytes: Weight-buffer bytes of one pass.
        spilled: DRAM cycles of the activations that one tile reads or writes.
        score_bytes: Accumulator-buffer bytes that one tile occupies (scores) or frees (softmax, negative).
        behind: Number of MAC tasks of the same phase in the longest chain that this task depends on.
        readers: Tasks that depend on this one.
        issued: Number of tiles that have begun.
        ends: Cycle at which the results of each begun tile may be read.
        done: Number of tiles whose results may be read.
        loaded: Number of passes whose weights are on the chip.
        blocked_by: Reason why the next tile could not begin at the last attempt.
    """

    index: int
    section: int
    operation: int
    window: tuple[int, int]
    chunk: str
    passes: int
    groups: int
    occupied: float
    starved: float
    exposed: float
    requant: float
    activation: float
    depth: int
    needs: tuple[tuple[int, str, bool], ...]
    reuses: tuple[int, ...]
    load_bytes: float
    weight_bytes: float
    spilled: float
    score_bytes: float
    behind: int = 0
    readers: list[int] = field(default_factory=list)
    issued: int = 0
    ends: list[float] = field(default_factory=list)
    done: int = 0
    loaded: int = 0
    blocked_by: str = ""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.passes * self.groups

    def needed_of(self, producer: "TaskState", how: str, aligned: bool) -> int:
        """Return how many tiles of ``producer`` must be done before the next tile may begin."""
        if how == "all":
            return producer.tiles
        weight_pass, group = divmod(self.issued, self.groups)
        rows = -(-(group + 1) * producer.groups // self.groups)
        return (weight_pass if aligned else producer.passes - 1) * producer.groups + rows


def task_states(machine: Machine, plan: Schedule[TaskSection]) -> list[TaskState]:
    """Make the initial state of every task of every section, in order of issue.

    The first task of a section depends on the last task of the previous section.
    """
    states: list[TaskState] = []
    for number, section in enumerate(plan.sections):
        base = len(states)
        for task in section.tasks:
            needs = [(base + need, how) for need, how in task.needs]
            if not task.needs and states:
                needs = [(base - 1, "rows" if pipelined(machine) else "all")]
            state = _task_state(machine, section, task, number, base, len(states))
            state.needs = tuple((need, how, task.aligned) for need, how in needs)
            for need, _, _ in state.needs:
                producer = states[need]
                producer.readers.append(state.index)
                if producer.window == state.window:
                    state.behind = max(state.behind, producer.behind + (producer.chunk == MAC))
            states.append(state)
    return states


def _task_state(
    machine: Machine, section: TaskSection, task: Task, number: int, base: int, index: int
) -> TaskState:
    operation, cost = section.operations[task.operation], section.costs[task.operation]
    each = task.share * task.tiles
    score_bytes = 0.0
    if pipelined(machine):
        at_scores = next((i for i, op in enumerate(section.operations) if op.kind == "scores"), -1)
        bytes_written = section.costs[at_scores].accumulator_bytes if at_scores >= 0 else 0
        if operation.kind == "scores":
            score_bytes = bytes_written / each
        elif cost.chunk == SOFTMAX:
            score_bytes = -bytes_written / each
    return TaskState(
        index=index,
        section=number,
        operation=task.operation,
        window=(number, task.phase),
        chunk=cost.chunk,
        passes=task.passes,
        groups=task.groups,
        occupied=cost.occupied_cycles / each,
        starved=cost.starved_cycles / each,
        exposed=cost.exposed_requant_cycles / each,
        requant=cost.requant_cycles / each,
        activation=cost.activation_bytes / machine.buffers.activation.bytes_per_cycle / each,
        depth=cost.depth_cycles,
        needs=(),
        reuses=tuple(base + task_index for task_index in task.reuses),
        load_bytes=task.fetched_bytes / task.passes,
        weight_bytes=operation.weight_bytes / task.share / task.passes,
        spilled=task.spilled_bytes / machine.dram_bytes_per_cycle / task.tiles,
        score_bytes=score_bytes,
    )
