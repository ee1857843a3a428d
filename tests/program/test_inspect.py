import json

from p2vit.program.inspect import bytes_of, summarize
from support.programs import random_program


def test_rows_and_totals():
    program = random_program(
        image=(4, 4), patch=2, dim=6, depth=1, heads=2, mlp=7, classes=3, weight_bits=4, form="log2"
    )
    summary = summarize(program)
    rows = {row.name: row for row in summary.layers}
    assert [row.name for row in summary.layers] == [node.name for node in program.nodes]
    fc1 = rows["blocks.0.mlp.fc1"]
    assert (fc1.kind, fc1.shape, fc1.width, fc1.weight_shape, fc1.weight_bits) == (
        "Linear",
        [5, 7],
        "int8",
        [7, 6],
        4,
    )
    assert fc1.macs == 5 * 7 * 6
    assert fc1.parameter_bytes == 7 * 6 // 2 + 7 * 4 + 7
    assert (fc1.exponent_low, fc1.exponent_high) == (-5, -5)
    norm = rows["blocks.0.norm1"]
    assert -6 <= norm.exponent_low <= norm.exponent_high <= -4
    softmax = rows["blocks.0.attn.softmax"]
    assert (softmax.width, softmax.shape, softmax.activation_bytes) == ("uint4", [2, 5, 5], 25)
    assert rows["blocks.0.attn.values"].macs == 5 * 6 * 5
    assert rows["patches"].offset_low == rows["patches"].offset_high == 128
    assert summary.macs == program.macs == sum(row.macs for row in summary.layers)
    weights = 12 * 6 + 4 * 6 * 6 + 2 * 6 * 7 + 3 * 6
    assert summary.weight_bytes == weights // 2
    assert summary.peak_activation_bytes >= max(row.activation_bytes for row in summary.layers)
    assert summary.pixels == [4, 4, 3]
    json.loads(summary.model_dump_json())


def test_bytes_are_rounded_up():
    assert [bytes_of(n, 4) for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert bytes_of(3, 16) == 6
