"""More hardware is never slower. `make sweep` checks every case; these tests draw some for every known model."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from p2vit.accel.machine.description import LoadStoreMachine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.growth import GROWTH, larger
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import known_models, workload_of
from p2vit.models.architectures import ARCHITECTURES

MACHINES = [name for name in known_machines() if not isinstance(load_machine(name), LoadStoreMachine)]


def cycles(machine, workload):
    timing = map_workload(machine, workload).timing
    return timing.cycles if timing else None


@pytest.mark.parametrize("hardware", MACHINES)
def test_more_of_anything_is_never_slower(hardware):
    machine, workload = load_machine(hardware), workload_of("deit_tiny_patch16_224")
    before = cycles(machine, workload)
    assert before is not None
    grown = {what: cycles(more, workload) for what, more in larger(machine)}
    assert len(grown) >= 2 * (len(GROWTH) - 2)
    assert {what: n for what, n in grown.items() if n is None or n > before} == {}


def drawn() -> list[tuple[str, str, int]]:
    """Draw machines for every known shape, 8 or 4 bits in turn, with a seed that is fixed: `make sweep` takes all."""
    shapes = {}
    for model in known_models():
        config = ARCHITECTURES[model].config
        shapes.setdefault(replace(config, name=""), model)
    draw = random.Random(0)
    return [
        (hardware, model, (8, 4)[index % 2])
        for index, model in enumerate(shapes.values())
        for hardware in draw.sample(MACHINES, 2)
    ]


@pytest.mark.extended
def test_every_known_model_is_never_slower_on_a_larger_machine():
    """One resource of every drawn pair grows; over all pairs, every resource does, by every step."""
    grown = {hardware: list(larger(load_machine(hardware))) for hardware in MACHINES}
    slower, steps = [], Counter()
    for index, (hardware, model, bits) in enumerate(drawn()):
        workload = workload_of(model, Precision(bits))
        before = cycles(load_machine(hardware), workload)
        if before is None:
            continue
        what, machine = grown[hardware][index % len(grown[hardware])]
        steps[what.partition("=")[0]] += 1
        after = cycles(machine, workload)
        if after is None or after > before:
            slower.append((hardware, model, bits, what, before, after))
    assert slower == []
    assert set(steps) == set(GROWTH)
    assert sum(steps.values()) > 90


def test_lines_pay_where_two_tiles_of_scores_overflow_their_buffer():
    workload, paper = workload_of("vit_small_patch14_dinov2"), load_machine("paper")
    found = [
        cycles(edit_machine(paper, {"chunks.mac_array.lines": lines}), workload) for lines in range(10, 24)
    ]
    assert found == sorted(found, reverse=True)
    assert found[10] <= 37_000_000


def test_one_more_line_on_a_small_machine():
    workload, edge = workload_of("vit_base_patch16_384"), load_machine("edge")
    more = edit_machine(edge, {"chunks.mac_array.lines": 11})
    assert cycles(more, workload) <= cycles(edge, workload)


def test_long_rows_leave_lines_idle():
    machine = edit_machine(load_machine("paper"), {"buffers.row.size_bytes": 20 * 2 * 1536})
    for model, lines in (("deit_small_patch16_224", 20), ("deit_base_patch16_224", 10)):
        block = map_workload(machine, workload_of(model)).plan.sections[1]
        fc2 = next(index for index, op in enumerate(block.operations) if op.name.endswith("fc2"))
        assert block.costs[fc2].lines == lines
        assert block.memory.limits[fc2] == ("row_buffer" if lines == 10 else "")
