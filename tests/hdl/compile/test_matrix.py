"""Addresses and modes of the array's descriptors; the RTL tests show that they give the program's numbers."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.compile.matrix import LinearPayload
from p2vit.hdl.compile.memory import MemoryImage
from p2vit.hdl.compile.payload import Context
from p2vit.hdl.top.descriptor import Dest, Kind, Mode
from p2vit.numerics import Linear
from p2vit.program.graph import Node
from support.rtl_programs import ODD, compiled, program


def runs(name, node, machine=ODD):
    return [
        d
        for d in compiled(name, machine).descriptors
        if d.node == f"blocks.0.{node}" and d.kind == Kind.ARRAY
    ]


def loads(name, node, dest):
    return [
        d
        for d in compiled(name, ODD).descriptors
        if d.node == f"blocks.0.{node}" and d.kind == Kind.LOAD and d["dest"] == dest
    ]


@pytest.mark.parametrize(
    ("node", "mode"),
    [
        ("attn.q", Mode.COLUMN),
        ("attn.v", Mode.LINE),
        ("attn.scores", Mode.RAW),
        ("attn.values", Mode.QUOTIENT),
    ],
)
def test_each_product_has_its_mode(node, mode):
    assert {d["mode"] for d in runs("linear", node)} == {mode}


def test_rows_are_cut_into_chunks_of_lanes_with_a_tail():
    found = runs("linear", "attn.q")
    terms = program("linear").node("blocks.0.attn.q").operator.weight.shape[1]
    assert {(d["chunks"] - 1) * ODD.lanes + d["tail"] for d in found} == {terms}
    assert all(1 <= d["tail"] <= ODD.lanes for d in found)


def test_log2_codes_shift_and_linear_codes_multiply():
    for name, log2 in (("linear", 0), ("log2", 1)):
        assert {d["log2"] for d in runs(name, "attn.values")} == {log2}


def test_the_weights_of_a_tile_begin_where_the_tile_before_ends():
    done, found = compiled("linear", ODD), loads("linear", "mlp.fc1", Dest.WEIGHTS)
    assert len(found) > 1
    ends = [d["address"] + d["outer"] * d["stride"] for d in found]
    assert [d["address"] for d in found[1:]] == ends[:-1]
    weight = done.program.node("blocks.0.mlp.fc1").operator.weight
    start = found[0]["address"]
    # Line 0 of a group holds the first of its columns, term by term.
    stored = done.image[start : start + weight.shape[1], 0].view(np.int8)
    assert stored.tolist() == weight[0].tolist()


def test_two_4_bit_weights_share_a_byte():
    wide, narrow = (loads(name, "mlp.fc1", Dest.WEIGHTS)[0] for name in ("linear", "int4"))
    assert (wide["nibbles"], narrow["nibbles"]) == (0, 1)
    terms = program("int4").node("blocks.0.mlp.fc1").operator.weight.shape[1]
    assert narrow["inner"] == -(-terms // 2)


def test_split_multipliers_take_two_columns_of_4_bit_weights():
    machine = replace(ODD, split=True)
    done = compile_program(program("int4"), machine)
    pairs = {d.node: d["pairs"] for d in done.descriptors if d.kind == Kind.ARRAY}
    linear = {node.name for node in done.program.nodes if isinstance(node.operator, Linear)}
    assert pairs["blocks.0.mlp.fc1"] == 1
    # The values of attention are computed with stationary weights, and scores have none.
    assert pairs["blocks.0.attn.v"] == pairs["blocks.0.attn.scores"] == 0
    assert {name for name, pair in pairs.items() if pair} < linear


def test_rows_that_a_descriptor_cannot_count_are_refused():
    node = program("linear").node("blocks.0.mlp.fc1")
    long = replace(node.operator, weight=np.zeros((node.operator.weight.shape[0], 1 << 16), np.int8))
    layout = compiled("linear", ODD).layouts[node.name]
    context = Context(Node(node.name, long, node.inputs), [], layout, ODD, MemoryImage(ODD.lines))
    with pytest.raises(UnfitProgramError, match="rows have 65536 terms; a descriptor counts up to 65535"):
        LinearPayload(context)
