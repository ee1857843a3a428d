import pytest
from hypothesis import given, settings

from accel.load_store.machines import RTL, WIDE, machines, workloads
from p2vit.accel.chunks.gemm import row_stationary_cycles
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

DEIT = workload_of("deit_tiny_patch16_224")


def by_name(machine, workload):
    """Return every operation with its jobs, by name."""
    plan = schedule(machine, workload)
    return {
        op.name: (op, [job for job in section.jobs if job.operation == index])
        for section, own in zip(plan.sections, plan.operations, strict=True)
        for index, op in enumerate(own)
    }


@settings(deadline=None, max_examples=40)
@given(machines(), workloads())
def test_the_array_does_every_product_once(machine, workload):
    lines, lanes = machine.chunks.mac_array.lines, machine.chunks.mac_array.lanes_per_line
    for name, (op, jobs) in by_name(machine, workload).items():
        work = sum(job.work for job in jobs)
        if name.endswith("attn.v"):  # channels stand still, head by head
            heads = next(o.heads for o in workload.operations if o.kind == "scores")
            assert work == heads * row_stationary_cycles(op.cols // heads, op.rows, op.inner, lines, lanes)
        elif op.kind in ("scores", "attention_values"):
            assert work == op.heads * row_stationary_cycles(op.rows, op.cols, op.inner, lines, lanes)
        elif op.kind == "linear":
            least = row_stationary_cycles(op.rows, op.cols, op.inner, lines, lanes)
            # Patches leave room for the prefix tokens, which may take another group.
            assert least <= work <= least + row_stationary_cycles(5, op.cols, op.inner, lines, lanes)


@settings(deadline=None, max_examples=40)
@given(machines(), workloads())
def test_what_is_read_has_been_written(machine, workload):
    plan = schedule(machine, workload)
    written, base, ever = set(), 0, set()
    for section in plan.sections:
        ever |= {
            (base + job.operation, job.writes.head, job.writes.group) for job in section.jobs if job.writes
        }
        base += len(section.operations)
    base = 0
    for section in plan.sections:
        for job in section.jobs:
            for load in job.loads:
                for region in load.reads:
                    key = base + region.operation, region.head, region.group
                    # Groups of nothing but room for prefix tokens are never written.
                    assert key in written or (
                        key not in ever and section.operations[job.operation].kind == "tokens"
                    )
            if job.writes:
                written.add((base + job.operation, job.writes.head, job.writes.group))
        base += len(section.operations)


@settings(deadline=None, max_examples=40)
@given(machines(), workloads())
def test_slots_that_are_opened_are_released(machine, workload):
    """If a slot is opened and never released, an engine waits for ever."""
    for _, (_, jobs) in by_name(machine, workload).items():
        loads = [load for job in jobs for load in job.loads]
        for buffer in {load.buffer for load in loads} - {"norm_table"}:
            opened = sum(load.opens for load in loads if load.buffer == buffer)
            assert opened == sum(load.closes for load in loads if load.buffer == buffer)
            assert opened == sum(buffer in job.releases for job in jobs)
            if buffer != "table":  # in order behind it come the rows, which are taken
                assert opened == sum(buffer in job.takes for job in jobs)


def test_traffic_is_every_tensor_out_and_in():
    jobs = by_name(RTL, DEIT)
    op, softmax = jobs["blocks.0.attn.softmax"]
    groups = 13
    assert sum(load.words for job in softmax for load in job.loads) == op.heads * groups * op.cols * 4
    assert sum(job.store_words for job in softmax) == op.heads * groups * (op.cols + 4)
    _, scores = jobs["blocks.0.attn.scores"]
    assert sum(job.store_words for job in scores) == op.heads * groups * op.cols * 4
    plan = schedule(RTL, DEIT)
    moved = sum(sum(s.memory.fetched_bytes) + sum(s.memory.spilled_bytes) for s in plan.sections)
    words = sum(
        job.store_words + sum(load.words for load in job.loads) for s in plan.sections for job in s.jobs
    )
    assert moved == 16 * words


def test_narrow_weights_halve_their_words_and_nothing_else():
    from p2vit.accel.workload.precision import Precision

    wide = by_name(RTL, DEIT)["blocks.0.mlp.fc1"][1]
    narrow = by_name(RTL, workload_of("deit_tiny_patch16_224", Precision(4)))["blocks.0.mlp.fc1"][1]
    assert sum(job.work for job in wide) == sum(job.work for job in narrow)
    words = [
        sum(load.words for job in jobs for load in job.loads if load.buffer == "weights")
        for jobs in (wide, narrow)
    ]
    assert words[0] == 2 * words[1]


def test_the_table_of_roots_is_loaded_once():
    plan = schedule(RTL, DEIT)
    loads = [
        load.words
        for section in plan.sections
        for job in section.jobs
        for load in job.loads
        if load.buffer == "norm_table"
    ]
    assert loads == [768]


def test_equal_blocks_are_laid_out_once():
    sections = schedule(WIDE, DEIT).sections
    assert len({id(section) for section in sections}) == 4  # embedding, first block, blocks, head


@pytest.mark.parametrize(("lanes", "times"), [(16, 1), (8, 2), (5, 4)])
def test_fewer_vector_lanes_than_lines_take_several_cycles_a_column(lanes, times):
    from p2vit.accel.machine.edit import edit_machine

    few = edit_machine(RTL, {"chunks.layernorm.lanes": lanes})
    (_, slow), (_, fast) = (by_name(m, DEIT)["blocks.0.norm1"] for m in (few, RTL))
    assert slow[0].work == times * fast[0].work
