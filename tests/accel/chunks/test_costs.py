import pytest

from p2vit.accel.chunks.costs import MAC, SHIFTER, chunk_of, cost_of
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.workload.operations import Operation

PAPER = load_machine("paper")
FC1 = Operation("fc1", "linear", "mlp", 0, 197, 1536, 384, weight_bits=8)


def test_a_linear_on_the_lines():
    cost = cost_of(PAPER, FC1)
    assert cost.chunk == MAC
    assert cost.groups == 10
    assert cost.busy_cycles == 10 * 1536 * 6
    assert cost.starved_cycles == cost.exposed_requant_cycles == 0
    assert cost.requant_cycles == -(-197 * 1536 // 20)


def test_narrow_weights_halve_the_columns():
    four = Operation("fc1", "linear", "mlp", 0, 197, 1536, 384, weight_bits=4)
    assert cost_of(PAPER, four).busy_cycles == cost_of(PAPER, FC1).busy_cycles / 2
    rigid = edit_machine(PAPER, {"chunks.mac_array.narrow_weight_rate": 1})
    assert cost_of(rigid, four).busy_cycles == cost_of(PAPER, FC1).busy_cycles


def test_unhidden_requantization_costs_its_depth_per_column():
    machine = PAPER.with_pipelining(inter_layer=True, intra_layer=False)
    assert cost_of(machine, FC1).exposed_requant_cycles == 10 * 1536 * 2


def test_scores_are_not_requantized():
    scores = Operation("s", "scores", "attention", 0, 197, 197, 64, 6, 6, output_bits=32)
    cost = cost_of(PAPER, scores)
    assert cost.requant_cycles == 0
    assert cost.accumulator_bytes == 6 * 197 * 197 * 4


@pytest.mark.parametrize(("log2", "chunk"), [(True, SHIFTER), (False, MAC)])
def test_only_log2_codes_run_on_shifters(log2, chunk):
    assert chunk_of(PAPER, "attention_values", log2) == chunk
    engine = load_machine("single_engine")
    assert chunk_of(engine, "attention_values", log2) == MAC


def test_rows_pass_twice():
    norm = Operation("n", "layernorm", "mlp", 0, 197, 384, input_bits=16)
    assert cost_of(PAPER, norm).busy_cycles == 197 * 20 * 2


def test_a_narrow_weight_port_starves_the_array():
    machine = edit_machine(PAPER, {"buffers.weight.bytes_per_port_per_cycle": 8, "buffers.weight.banks": 1})
    assert cost_of(machine, FC1).starved_cycles == 10 * 1536 * (48 - 6)


def test_more_weight_tiles_load_the_rows_more_often():
    assert cost_of(PAPER, FC1, 3).activation_bytes - cost_of(PAPER, FC1, 1).activation_bytes == 2 * 197 * 384


def test_a_narrow_score_port_holds_up_scores_and_softmax():
    narrow = edit_machine(
        PAPER, {"buffers.accumulator.banks": 1, "buffers.accumulator.bytes_per_port_per_cycle": 16}
    )
    scores = Operation("s", "scores", "attention", 0, 197, 197, 64, 6, 6, output_bits=32)
    assert cost_of(PAPER, scores).starved_cycles == 0
    # 20 lines write 80 bytes a column: five cycles of the port, one of the array.
    assert cost_of(narrow, scores).starved_cycles == 6 * 10 * 197 * 4
    softmax = Operation("x", "softmax", "attention", 0, 197, 197, 0, 6, 6, input_bits=32, output_bits=4)
    assert cost_of(narrow, softmax).busy_cycles == 2 * 6 * 197 * 197 * 4 / 16
