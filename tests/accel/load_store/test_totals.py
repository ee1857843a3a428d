import pytest
from hypothesis import given, settings

from accel.load_store.machines import RTL, machines, workloads
from p2vit.accel.load_store.times import WordCycles
from p2vit.accel.load_store.totals import ChainStep, stacked, totals_of
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_totals_are_the_sums_over_all_jobs(machine, workload):
    words, lines = WordCycles(machine), machine.chunks.mac_array.lines
    for section in set(schedule(machine, workload).sections):
        for index in range(len(section.operations)):
            jobs = [job for job in section.jobs if job.operation == index]
            own = section.totals(index)
            loads = [load for job in jobs for load in job.loads]
            assert own.runs == len(jobs)
            assert own.work == sum(job.work for job in jobs)
            assert own.occupied == sum(job.cycles + machine.load_store.run_cycles for job in jobs)
            assert own.words == sum(words(load.words) for load in loads)
            assert own.load == own.words + len(loads)
            assert own.fetched_words == sum(load.words for load in loads if not load.reads)
            stored = sum(job.store_words for job in jobs)
            assert own.spilled_words == sum(load.words for load in loads if load.reads) + stored
            stores = sum(job.store_words > 0 for job in jobs)
            assert own.store == pytest.approx(words.each * stored + stores)
            assert section.memory.spilled_bytes[index] == own.spilled_words * lines
            assert own.gathers == any(load.gather for load in loads)


def test_weights_are_loaded_early_and_rows_with_their_producer():
    block = schedule(RTL, workload_of("deit_tiny_patch16_224")).sections[2]
    at = next(index for index, op in enumerate(block.operations) if op.name.endswith("attn.q"))
    q = block.totals(at)
    job = block.source.loop(at, block.tiles[at]).first
    weights, parameters, rows = (load.words + 1 for load in job.loads)
    assert (q.first.ahead, q.first.load) == (weights + parameters, rows)
    assert q.reads == {at - 1}
    assert q.early == 12 * (job.cycles + 1)


def test_numbers_are_stacked_and_names_are_kept():
    block = schedule(RTL, workload_of("deit_tiny_patch16_224")).sections[2]
    linear = next(index for index, op in enumerate(block.operations) if op.kind == "linear")
    choices = [block.source.totals(linear, tile) for tile in block.source.choices(linear)]
    both = stacked(choices, (-1, 1))
    assert both.work.shape == both.first.ahead.shape == (len(choices), 1)
    assert both.runs[:, 0].tolist() == [choice.runs for choice in choices]
    assert (both.engine, both.reads) == (choices[0].engine, choices[0].reads)
    assert isinstance(both.last, ChainStep)
    assert totals_of(RTL, linear, block.source.loop(linear, block.source.choices(linear)[0])) == choices[0]
