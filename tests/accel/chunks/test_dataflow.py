import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

PAPER = load_machine("paper")


@settings(deadline=None, max_examples=60)
@given(machines(), workloads())
def test_parts_make_up_their_operations(machine, workload):
    plan = schedule(machine, workload)
    assert sum(len(section.operations) for section in plan.sections) == len(workload.operations)
    for section in plan.sections:
        for index in range(len(section.operations)):
            tasks = [task for task in section.tasks if task.operation == index]
            assert sum(1 / task.share for task in tasks) == pytest.approx(1)
            moved = section.memory.fetched_bytes[index] + section.memory.spilled_bytes[index]
            assert sum(task.dram_bytes for task in tasks) == pytest.approx(moved)
        assert all(need < task.index for task in section.tasks for need, _ in task.needs)


def test_heads_flow_one_behind_the_other():
    section = schedule(PAPER, workload_of("deit_tiny_patch16_224")).sections[1]
    names = [(task.phase, section.operations[task.operation].name.split(".")[-1]) for task in section.tasks]
    assert names[:4] == [(0, "norm1"), (0, "q"), (0, "k"), (0, "v")]
    assert names[4:10] == [(1, "q"), (1, "k"), (1, "v"), (1, "scores"), (1, "softmax"), (1, "values")]
    assert names[-8:] == [
        (3, "values"), (3, "proj"), (3, "add1"),
        (4, "norm2"), (4, "fc1"), (4, "gelu"), (5, "fc2"), (5, "add2"),
    ]  # fmt: skip


def test_space_of_the_head_before_last_is_waited_for():
    section = schedule(PAPER, workload_of("deit_small_patch16_224")).sections[1]
    third_q = [task for task in section.tasks if section.operations[task.operation].name.endswith(".q")][2]
    first_values = next(
        task for task in section.tasks if section.operations[task.operation].name.endswith(".values")
    )
    assert third_q.reuses == (first_values.index,)


def test_serial_has_one_operation_per_phase():
    machine = PAPER.with_pipelining(inter_layer=False, intra_layer=True)
    section = schedule(machine, workload_of("deit_tiny_patch16_224")).sections[1]
    assert section.phases == len(section.operations)
    assert all(how == "all" for task in section.tasks for _, how in task.needs)
