import numpy as np
import pytest

from accel.load_store.machines import RTL
from p2vit.accel.load_store.phases import Phase, chain, phase_shapes, wait
from p2vit.accel.load_store.totals import ChainStep
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

SECTIONS = list(dict.fromkeys(schedule(RTL, workload_of("deit_tiny_patch16_224")).sections))
BLOCK = SECTIONS[2]


def names(section, positions):
    return [section.operations[at].name.split(".")[-1] for at in positions]


def test_vector_operations_join_the_array_operation_that_they_follow_or_prepare():
    phases = [names(BLOCK, shape.operations) for shape in BLOCK.shapes]
    assert phases == [
        *(["norm1", "q"], ["k"], ["v"], ["scores", "softmax"], ["values"], ["proj", "add1"]),
        *(["norm2", "fc1", "gelu"], ["fc2", "add2"]),
    ]
    assert [names(SECTIONS[0], shape.operations) for shape in SECTIONS[0].shapes] == [
        ["patches"],
        ["patch_embed", "tokens"],
    ]


def test_without_overlap_every_operation_is_a_phase():
    serial = RTL.with_pipelining(inter_layer=False, intra_layer=True)
    assert [shape.operations for shape in phase_shapes(serial, BLOCK.source.steps)] == [
        (at,) for at in range(len(BLOCK.operations))
    ]


def test_a_chain_loads_runs_and_stores_one_after_the_other():
    steps = [ChainStep(5, 10, 100, 7), ChainStep(50, 20, 200, 9)]
    begins, written = chain(steps, 8, 0, 0)
    # The first job's data is written at 15 + 8 + 100 + 7 = 130; the early loads of the second are done by then.
    assert begins == 130 + 20 + 8
    assert written == begins + 209


def test_the_gather_hides_the_first_tile_of_the_patch_embedding():
    gather, embed = (Phase.of(shape, SECTIONS[0].totals) for shape in SECTIONS[0].shapes)
    alone, behind = (embed.loads(before)["array engine"] for before in (None, gather))
    assert alone - behind == pytest.approx(embed.core.early)
    assert 0 < embed.core.early < gather.core.load


def test_all_choices_at_once_are_each_choice_by_itself():
    shapes = BLOCK.shapes
    pairs = [BLOCK.source.choices_of(shape) for shape in shapes]
    for at in range(1, len(shapes)):
        (tiles_before, before), (tiles, own) = pairs[at - 1 : at + 1]
        cycles = own.cycles(before, False)
        assert cycles.shape == (len(tiles_before), len(tiles))
        for row, earlier in enumerate(tiles_before):
            for column, tile in enumerate(tiles):
                chosen = {shapes[at - 1].core: earlier, shapes[at].core: tile}

                def totals(index, chosen=chosen):
                    return BLOCK.source.totals(index, BLOCK.source.tile(index, chosen))

                one, other = Phase.of(shapes[at - 1], totals), Phase.of(shapes[at], totals)
                expected = max(other.loads(one).values()) + wait(RTL, one, other, False)
                assert np.isclose(cycles[row, column], expected)
