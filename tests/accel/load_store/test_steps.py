import pytest

from p2vit.accel.chunks.sections import split_sections
from p2vit.accel.load_store.steps import steps_of
from p2vit.accel.workload.operations import Operation
from p2vit.accel.workload.resolve import workload_of

SECTIONS = split_sections(workload_of("deit_tiny_patch16_224").operations)


def steps(section):
    before = SECTIONS[section - 1][-1] if section else None
    return {
        step.operation.name.rpartition("blocks.0.")[2]: step for step in steps_of(SECTIONS[section], before)
    }


def test_the_embedding_leaves_room_for_the_class_token():
    patches, embed, tokens = steps(0).values()
    assert (patches.form, patches.reads, patches.first_row, patches.run) == ("gather", (), 1, 48)
    assert (embed.form, embed.reads, embed.first_row) == ("linear", (0,), 1)
    assert (tokens.form, tokens.reads, tokens.first_row) == ("rows", (1,), 0)


def test_q_k_and_v_read_the_same_rows_and_v_is_made_channel_by_channel():
    block = steps(1)
    assert [block[f"attn.{name}"].reads for name in "qkv"] == [(0,)] * 3
    assert [block[f"attn.{name}"].form for name in "qkv"] == ["linear", "linear", "values"]
    assert block["attn.v"].heads == 3
    assert block["attn.scores"].reads == (1, 2)
    assert block["attn.values"].reads == (5, 3)


def test_the_first_add_reads_the_stream_of_the_section_before():
    block = steps(1)
    assert block["add1"].reads == (-1, 7)
    assert block["add2"].reads == (8, 12)
    assert block["add1"].widths == (2, 2)


def test_the_head_selects_a_token_or_adds_up_the_patches():
    head = steps_of(SECTIONS[-1], SECTIONS[-2][-1])
    assert (head[0].form, head[0].start, head[0].operation.rows) == ("sum", 0, 1)
    tokens = Operation("add", "add", "mlp", 0, 50, 8)
    pool = Operation("pool", "pool", "head", -1, 49, 8)
    assert steps_of([pool], tokens)[0].start == 1


@pytest.mark.parametrize(("cols", "run"), [(3 * 14 * 14, 42), (12, 6), (50, 1)])
def test_rows_of_pixels_of_a_square_patch(cols, run):
    assert steps_of([Operation("patches", "move", "embedding", -1, 9, cols)], None)[0].run == run


def test_a_single_patch_is_gathered_and_a_single_token_selected():
    move = Operation("patches", "move", "embedding", -1, 1, 12)
    assert steps_of([move], None)[0].form == "gather"
    assert steps_of([move], Operation("add", "add", "mlp", 0, 5, 12))[0].form == "sum"
