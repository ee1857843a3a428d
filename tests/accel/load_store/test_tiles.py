from dataclasses import replace
from itertools import product

import pytest

from accel.load_store.machines import RTL, SMALL, WIDE
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.load_store.closed_form import closed_form_of_jobs
from p2vit.accel.load_store.section import JobSection
from p2vit.accel.load_store.tiles import choose_tiles
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.organisation import closed_form, schedule
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of

DEIT = workload_of("deit_tiny_patch16_224")


def retiled(machine, plan, index, tile):
    """Return the schedule with another tile for one operation in every block."""
    sections = {}
    for section in plan.sections:
        array = {at: own for at, own in enumerate(section.tiles) if len(section.source.choices(at)) > 1}
        if len(section.operations) > 10 and index in array:
            array[index] = tile
        tiles = tuple(section.source.tile(at, array) for at in range(len(section.tiles)))
        sections.setdefault(id(section), replace(section, tiles=tiles))
    return Schedule(tuple(sections[id(section)] for section in plan.sections), plan.operations)


@pytest.mark.parametrize("machine", [RTL, WIDE], ids=["rtl", "rtl-wide"])
def test_no_other_tile_of_an_operation_is_faster(machine):
    plan = schedule(machine, DEIT)
    best = closed_form(machine, plan).cycles
    block = plan.sections[2]
    tried = 0
    for index in range(len(block.operations)):
        for tile in block.source.choices(index)[:6]:
            if tile and tile != block.tiles[index]:
                tried += 1
                assert closed_form_of_jobs(machine, retiled(machine, plan, index, tile)).cycles >= best
    assert tried > 10


def test_the_shortest_path_is_the_best_of_all_combinations():
    """On a small model, every combination of tiles is timed."""
    machine = edit_machine(SMALL, {"load_store.columns_per_run": 128, "load_store.table_columns": 32})
    plan = schedule(machine, workload_of("digits"))
    embedding, first, block, head = dict.fromkeys(plan.sections)
    best = closed_form(machine, plan).cycles
    choices = {at: block.source.choices(at) for at in range(len(block.tiles)) if block.source.choices(at)[0]}
    found = []
    for tiles in product(*choices.values()):
        chosen = dict(zip(choices, tiles, strict=True))
        other = replace(block, tiles=tuple(block.source.tile(at, chosen) for at in range(len(block.tiles))))
        sections = tuple(other if section is block else section for section in plan.sections)
        found.append(closed_form_of_jobs(machine, Schedule(sections, plan.operations)).cycles)
    assert len(found) > 50
    assert min(found) == best
    assert all(isinstance(section, JobSection) for section in (embedding, first, head))


def test_larger_buffers_only_add_tiles():
    """From the size on that holds 64 columns of every operation."""
    for path, values in {
        "load_store.columns_per_run": (64, 100, 256, 512, 1024),
        "buffers.weight.size_bytes": (100_000, 1 << 17, 300_000, 1 << 19),
    }.items():
        before = None
        for value in values:
            machine = edit_machine(RTL, {path: value})
            sections = dict.fromkeys(schedule(machine, DEIT).sections)
            if not all(section.source for section in sections):
                continue
            own = [
                set(section.source.choices(at)) for section in sections for at in range(len(section.tiles))
            ]
            assert before is None or all(less <= more for less, more in zip(before, own, strict=True))
            before = own


def test_a_machine_without_overlap_has_the_largest_tiles():
    serial = RTL.with_pipelining(inter_layer=False, intra_layer=True)
    for section in dict.fromkeys(schedule(serial, DEIT).sections):
        for at, tile in enumerate(section.tiles):
            largest = section.source.choices(at)[0]
            assert largest in (0, tile)
        assert choose_tiles(serial, [section.source]) == [section.tiles]


def test_tiles_are_whole_or_multiples_of_64_columns():
    for bits in (8, 4):
        for section in schedule(RTL, workload_of("deit_small_patch16_224", Precision(bits))).sections:
            for op, step, tile in zip(section.operations, section.source.steps, section.tiles, strict=True):
                columns = op.rows if step.form == "values" else op.cols
                if op.inner:
                    assert tile == columns or tile % 64 == 0
