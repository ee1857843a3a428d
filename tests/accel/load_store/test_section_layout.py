import pytest

from accel.load_store.machines import RTL, SMALL
from p2vit.accel.chunks.sections import split_sections
from p2vit.accel.load_store.jobs import Region
from p2vit.accel.load_store.section_layout import SectionLayout, words_each
from p2vit.accel.load_store.steps import steps_of
from p2vit.accel.workload.resolve import workload_of

EMBEDDING, BLOCK = split_sections(workload_of("deit_tiny_patch16_224").operations)[:2]


def layout(machine, operations, before=None):
    steps = steps_of(operations, before)
    return SectionLayout(machine, machine.load_store, steps), steps


def test_rows_are_divided_into_groups_of_as_many_as_there_are_lines():
    block, steps = layout(RTL, BLOCK, EMBEDDING[-1])
    assert block.groups(steps[0]) == range(13)  # 197 tokens, 16 lines


def test_patches_leave_room_for_the_prefix_tokens():
    embedding, steps = layout(RTL, EMBEDDING)
    assert [step.first_row for step in steps] == [1, 1, 0]
    assert {embedding.groups(step) for step in steps} == {range(13)}  # 1 + 196 rows
    assert embedding.region(steps[0], 0, 3) == ()  # pixels
    assert embedding.region(steps[1], 0, 3, 16, 32) == (Region(0, 0, 3, 16, 32),)


def test_the_first_operation_reads_the_section_before():
    block, steps = layout(RTL, BLOCK, EMBEDDING[-1])
    assert block.region(steps[0], 0, 5) == (Region(-1, 0, 5),)


@pytest.mark.parametrize(("machine", "words"), [(RTL, 1), (SMALL, 1)])
def test_parameters_of_a_column_take_whole_words(machine, words):
    block, _ = layout(machine, BLOCK, EMBEDDING[-1])
    load = block.column_parameters(48)
    assert (load.words, load.buffer, load.reads) == (48 * words, "column_parameters", ())


def test_a_column_takes_a_word_per_byte_of_a_number():
    kinds = {op.kind: words_each(op) for op in BLOCK}
    assert (kinds["scores"], kinds["add"], kinds["layernorm"]) == (4, 2, 1)
