import pytest

from accel.load_store.machines import RTL
from p2vit.accel.load_store.section_layout import SectionLayout
from p2vit.accel.load_store.vector import VectorJobs, rows_in_group, serving_chunk
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

PLAN = schedule(RTL, workload_of("deit_tiny_patch16_224"))
EMBEDDING, BLOCK, HEAD = (PLAN.sections[at].source.steps for at in (0, 2, -1))


def at(steps, name):
    return next(index for index, step in enumerate(steps) if step.operation.name.endswith(name))


def jobs(steps, name, tile=None, machine=RTL, norm_table=0):
    maker = VectorJobs(SectionLayout(machine, machine.load_store, steps), norm_table)
    index = at(steps, name)
    return list(maker.loop(index, steps[index], tile or maker.tile(steps[index], None)).jobs())


def test_a_layernorm_takes_three_passes_and_a_factor_for_every_row_in_use():
    found = jobs(BLOCK, "norm1")
    assert {job.work for job in found} == {3 * 192}
    depth = RTL.chunks.layernorm.pipeline_depth_cycles
    assert [job.overhead for job in found] == [depth + 16] * 12 + [depth + 5]  # 197 tokens


def test_only_the_first_layernorm_loads_the_table_of_roots():
    first, second = (jobs(BLOCK, name, norm_table=768) for name in ("norm1", "norm2"))
    assert [load.buffer for load in first[0].loads] == ["norm_table", "vector_parameters", "vector"]
    assert [load.buffer for load in second[0].loads] == ["vector_parameters", "vector"]
    assert [load.buffer for load in first[1].loads] == ["vector"]


def test_tables_follow_tile_by_tile_and_stay_for_all_groups():
    found = jobs(BLOCK, "gelu", 128)
    assert len(found) == 6 * 13
    assert [load.words for load in found[0].loads] == [2 * 256, 128]
    assert (found[0].takes, found[0].releases) == (("vector",), ("vector",))
    assert found[12].releases == ("vector", "table")


def test_an_add_has_both_operands_in_one_slot():
    one, other = jobs(BLOCK, "add1", 64)[1].loads
    assert (one.opens, one.closes, other.opens, other.closes) == (True, False, False, True)
    assert (one.words, other.words) == (128, 128)  # 16 bits


def test_softmax_stores_its_row_sum_behind_the_codes():
    found = jobs(BLOCK, "softmax")
    assert len(found) == 3 * 13
    assert {(job.work, job.store_words) for job in found} == {(2 * 197, 197 + 4)}


def test_a_gather_leaves_the_lines_of_prefix_tokens_free():
    found = jobs(EMBEDDING, "patches")
    assert [job.loads[0].words for job in found] == [768 * 15] + [768 * 16] * 11 + [768 * 5]
    assert all(job.loads[0].gather for job in found)


def test_a_gather_keeps_rows_of_pixels_together():
    machine = edit_machine(RTL, {"load_store.vector_columns": 250})
    found = jobs(EMBEDDING, "patches", machine=machine)
    assert {job.writes.columns for job in found} == {240, 48}  # 16 pixels of 3 bytes are 48


def test_a_sum_over_tokens_stores_once():
    found = jobs(HEAD, "pool") if any("pool" in step.operation.name for step in HEAD) else []
    assert found
    assert [job.writes is not None for job in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(("followed", "tile"), [(64, 64), (100, 64), (None, 768)])
def test_tables_take_whole_groups_of_columns(followed, tile):
    maker = VectorJobs(SectionLayout(RTL, RTL.load_store, BLOCK), 0)
    assert maker.tile(BLOCK[at(BLOCK, "gelu")], followed) == tile


def test_each_operation_has_its_chunk():
    chunks = RTL.chunks
    served = {step.operation.kind: serving_chunk(RTL, step.operation) for step in BLOCK}
    assert served["layernorm"] is chunks.layernorm
    assert served["softmax"] is chunks.softmax
    assert served["lookup"] is chunks.gelu
    assert served["add"] is chunks.elementwise


def test_rows_in_a_group_count_from_its_first_line():
    embed = EMBEDDING[at(EMBEDDING, "patch_embed")]
    assert [rows_in_group(embed, group, 16) for group in (0, 1, 12)] == [16, 16, 5]
