import pytest

from accel.load_store.machines import RTL
from p2vit.accel.load_store.array import EXPOSED_REQUANT, SLOW_REQUANT, WEIGHT_PORT, ArrayJobs, weight_rows
from p2vit.accel.load_store.formats import LINE_PARAMETER_WORDS
from p2vit.accel.load_store.section_layout import SectionLayout
from p2vit.accel.load_store.steps import ARRAY_FORMS
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

STEPS = schedule(RTL, workload_of("deit_tiny_patch16_224")).sections[2].source.steps
AT = {step.operation.name.split(".")[-1]: index for index, step in enumerate(STEPS)}


def jobs(name, tile, machine=RTL):
    index = AT[name]
    return list(maker(machine).loop(index, STEPS[index], tile).jobs())


def maker(machine=RTL):
    return ArrayJobs(SectionLayout(machine, machine.load_store, STEPS))


def test_weights_of_a_linear_layer_are_loaded_once_per_tile_and_rows_once_per_run():
    found = jobs("q", 64)
    assert len(found) == 3 * 13
    assert [load.words for load in found[0].loads] == [192 * 4, 64, 192]
    assert [load.words for load in found[1].loads] == [192]
    assert found[0].takes == ("rows", "weights", "column_parameters")
    assert found[0].releases == ("rows",)
    assert found[12].releases == ("rows", "weights", "column_parameters")
    assert found[0].work == 64 * 192 // 16


def test_the_values_of_attention_stand_and_the_tokens_pass():
    found = jobs("v", 128)
    assert len(found) == 2 * 3 * 4  # two tiles of tokens, three heads of 64 channels
    weights, stationary, parameters = found[0].loads
    assert weights.words == 192 * 8  # eight groups of tokens
    assert len(weights.reads) == 8
    assert (stationary.words, parameters.words) == (192, LINE_PARAMETER_WORDS)
    assert [job.writes.head for job in found[:12]] == [0] * 4 + [1] * 4 + [2] * 4
    assert {job.work for job in found[12:]} == {(197 - 128) * 12}


def test_scores_are_a_product_for_every_head():
    found = jobs("scores", 197)
    assert len(found) == 3 * 13
    assert found[13].loads[1].reads[0].first == 64  # the queries of the second head
    assert {job.store_words for job in found} == {197 * 4}
    assert sum(job.work for job in found) == 3 * 13 * 197 * 4


def test_attention_loads_codes_with_the_row_sums_behind_them():
    found = jobs("values", 64)
    codes, sums = found[0].loads[-2:]
    assert (codes.words, sums.words) == (197, LINE_PARAMETER_WORDS)
    assert codes.reads == sums.reads
    assert (codes.closes, sums.opens) == (False, False)
    reciprocals = RTL.load_store.reciprocal_cycles
    assert found[0].overhead == RTL.chunks.mac_array.pipeline_depth_cycles + reciprocals


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("buffers.weight.bytes_per_port_per_cycle", 1, WEIGHT_PORT),
        ("chunks.requantization.lanes", 1, SLOW_REQUANT),
        ("pipelining.intra_layer", False, EXPOSED_REQUANT),
    ],
)
def test_what_slows_a_run_is_named(path, value, reason):
    machine = edit_machine(RTL, {path: value, "buffers.weight.banks": 1})
    if reason != WEIGHT_PORT:
        machine = edit_machine(RTL, {path: value})
    assert dict(jobs("q", 64, machine)[0].slowed)[reason] > 0
    assert not jobs("q", 64)[0].slowed


@pytest.mark.parametrize("lines", [4, 16, 12, 40, 64])
def test_every_tile_fits_the_buffers(lines):
    machine = edit_machine(RTL, {"chunks.mac_array.lines": lines, "buffers.activation.size_bytes": 1 << 22})
    rows = weight_rows(machine, machine.load_store)
    for step in STEPS:
        if step.form in ARRAY_FORMS:
            tiles = maker(machine).tiles(step)
            assert list(tiles) == sorted(set(tiles), reverse=True)
            for tile in tiles:
                assert tile <= machine.load_store.columns_per_run
                assert -(-tile // lines) * -(-step.operation.inner // 16) <= rows


def test_an_output_buffer_shorter_than_a_group_is_filled():
    machine = edit_machine(RTL, {"load_store.columns_per_run": 8})
    assert maker(machine).tiles(STEPS[AT["q"]]) == (8,)
