import pytest

from p2vit.accel.chunks.memory import BoundaryTraffic, plan_memory
from p2vit.accel.chunks.sections import split_sections
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.resolve import workload_of

PAPER = load_machine("paper")
BLOCK = split_sections(workload_of("deit_base_patch16_224").operations)[1]


def test_a_block_of_deit_base_stays_on_the_chip():
    plan = plan_memory(PAPER, BLOCK)
    assert not plan.misfits
    assert sum(plan.spilled_bytes) == 0
    assert plan.peak_activation_bytes <= PAPER.buffers.activation.size_bytes
    assert sum(plan.fetched_bytes) == sum(op.weight_bytes + op.table_bytes for op in BLOCK)
    # 48 GELU tables, and gain, bias and shifts of two LayerNorms.
    assert sum(op.table_bytes for op in BLOCK) == 48 * 256 + 2 * 768 * 8


def test_half_of_the_weight_buffer_holds_a_tile():
    fc2 = next(i for i, op in enumerate(BLOCK) if op.name.endswith("fc2"))
    assert plan_memory(PAPER, BLOCK).passes[fc2] == -(-768 // (524288 // 2 // (3072 + 4)))


def test_what_does_not_fit_goes_to_dram():
    small = edit_machine(PAPER, {"buffers.activation.size_bytes": 262144})
    plan = plan_memory(small, BLOCK)
    assert not plan.misfits
    assert sum(plan.spilled_bytes) > 0
    fc1 = next(i for i, op in enumerate(BLOCK) if op.name.endswith("fc1"))
    # Every further row block fetches the weights again.
    assert plan.spilled_bytes[fc1] % BLOCK[fc1].weight_bytes == 0 < plan.spilled_bytes[fc1]
    assert plan.peak_activation_bytes <= 262144


def test_pixels_constants_and_results_always_move():
    plan = plan_memory(
        PAPER,
        split_sections(workload_of("deit_tiny_patch16_224").operations)[0],
        BoundaryTraffic(1000, 200, 30),
    )
    bare = plan_memory(PAPER, split_sections(workload_of("deit_tiny_patch16_224").operations)[0])
    assert plan.fetched_bytes[0] - bare.fetched_bytes[0] == 1000
    assert plan.fetched_bytes[2] - bare.fetched_bytes[2] == 200
    assert plan.spilled_bytes[-1] == 30


@pytest.mark.parametrize(
    ("path", "size", "words"),
    [
        ("buffers.weight.size_bytes", 1024, "weight column"),
        ("buffers.accumulator.size_bytes", 1024, "int32 scores"),
        ("buffers.activation.size_bytes", 1024, "activation buffer"),
    ],
)
def test_what_cannot_run_names_demand_bound_and_levers(path, size, words):
    misfit = plan_memory(edit_machine(PAPER, {path: size}), BLOCK).misfits[0]
    assert words in misfit.statement
    assert misfit.bound == size
    assert misfit.gap == misfit.demand - size > 0
    assert misfit.levers[0].startswith(path.removesuffix("_bytes"))


@pytest.mark.parametrize("path", ["weight", "accumulator", "activation"])
def test_the_first_lever_makes_it_fit(path):
    key = f"buffers.{path}.size_bytes"
    machine = edit_machine(PAPER, {key: 1024})
    while plan_memory(machine, BLOCK).misfits:
        needed = max(misfit.demand for misfit in plan_memory(machine, BLOCK).misfits)
        assert needed > machine.model_dump()["buffers"][path]["size_bytes"]
        machine = edit_machine(machine, {key: int(needed)})


def test_windows_are_worked_on_one_after_the_other():
    block = split_sections(workload_of("swin_tiny_patch4_window7_224").operations)[1]
    assert not plan_memory(edit_machine(PAPER, {"buffers.activation.size_bytes": 131072}), block).misfits
