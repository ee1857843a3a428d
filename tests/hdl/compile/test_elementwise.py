"""Fields of the vector engine's descriptors; the RTL tests show that they give the program's numbers."""

import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.top.descriptor import Dest, Kind, VectorOp
from support.rtl_programs import ODD, compiled, program


def runs(name, node):
    return [d for d in compiled(name, ODD).descriptors if d.node == node and d.kind == Kind.VECTOR]


def loads(name, node, dest):
    descriptors = compiled(name, ODD).descriptors
    return [d for d in descriptors if d.node == node and d.kind == Kind.LOAD and d["dest"] == dest]


@pytest.mark.parametrize(
    ("node", "op"),
    [
        ("patches", VectorOp.COPY),
        ("tokens", VectorOp.ADD),
        ("blocks.0.norm1", VectorOp.LAYERNORM),
        ("blocks.0.attn.softmax", VectorOp.SOFTMAX),
        ("blocks.0.mlp.gelu", VectorOp.LOOKUP),
        ("blocks.0.add1", VectorOp.ADD),
    ],
)
def test_each_node_has_its_operation(node, op):
    assert {d["op"] for d in runs("linear", node)} == {op}


def test_a_layernorm_reads_factors_for_rows_in_use_only():
    rows = program("linear").tensors["blocks.0.norm1"].shape[0]
    used = [d["line_end"] for d in runs("linear", "blocks.0.norm1")]
    assert sum(used) == rows
    assert set(used[:-1]) <= {ODD.lines}


def test_all_layernorms_share_one_table_of_roots():
    done = compiled("linear", ODD)
    tables = [d for d in done.descriptors if d.kind == Kind.LOAD and d["dest"] == Dest.NORM_TABLE]
    assert [d.node for d in tables] == ["blocks.0.norm1"]
    table = program("linear").node("blocks.0.norm1").operator.table
    stored = done.image[tables[0]["address"] :][: table.size, :2].copy().view("<u2")[:, 0]
    assert stored.tolist() == table.tolist()


def test_a_softmax_has_the_shift_of_its_head_and_the_guard_of_its_attention():
    whole = program("linear")
    shifts = whole.node("blocks.0.attn.softmax").operator.shift
    guard = whole.node("blocks.0.attn.values").operator.guard
    found = runs("linear", "blocks.0.attn.softmax")
    per_head = len(found) // len(shifts)
    assert [d["softmax_shift"] for d in found[::per_head]] == shifts.tolist()
    assert {d["guard"] for d in found} == {guard}


def test_the_second_operand_of_an_add_goes_to_the_upper_bytes():
    first, second = loads("linear", "blocks.0.add1", Dest.VECTOR)[:2]
    assert (first["plane"], second["plane"]) == (0, 2)
    assert (first["open"], first["close"], second["open"], second["close"]) == (1, 0, 0, 1)


def test_prefix_rows_are_zero_in_the_first_operand_of_the_token_assembly():
    prefix = len(program("registers").node("tokens").operator.prefix)
    found = runs("registers", "tokens")
    assert sum(min(d["line_first"], ODD.lines) for d in found[: -(-prefix // ODD.lines)]) == prefix


def test_a_gather_begins_behind_the_lines_of_the_prefix_tokens():
    prefix = len(program("registers").node("tokens").operator.prefix)
    found = [d for d in compiled("registers", ODD).descriptors if d.kind == Kind.LOAD and d["gather"]]
    assert found[0]["line_first"] == prefix % ODD.lines
    rows = program("registers").tensors["patches"].shape[0]
    assert sum(d["line_end"] - d["line_first"] for d in found) == rows


def test_a_sum_over_tokens_begins_once_and_ends_once():
    node = next(n.name for n in program("mean").nodes if type(n.operator).__name__ == "SumTokens")
    found = runs("mean", node)
    assert [d["first"] for d in found] == [1, *[0] * (len(found) - 1)]
    assert [d["emit"] for d in found] == [*[0] * (len(found) - 1), 1]
    count = program("mean").node(node).operator.count
    assert sum(d["line_end"] - d["line_first"] for d in found) == count
