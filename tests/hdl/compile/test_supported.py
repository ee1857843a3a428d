import re

import pytest

pytest.importorskip("amaranth")

from p2vit.accel.load_store.fit import has_engine
from p2vit.accel.workload.build import KINDS
from p2vit.accel.workload.operations import MATMULS, Operation
from p2vit.hdl.compile.compiler import _PAYLOADS, compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.compile.supported import NEEDED_BY
from p2vit.hdl.top.machine import RtlMachine
from p2vit.numerics import OPERATORS, LayerNorm, Patchify, Softmax
from support.families import FAMILIES, family_program

MACHINE = RtlMachine(lines=8, lanes=8, row_rows=32, weight_rows=128, columns=128, vector_columns=256)

OPERATORS_BY_NAME = {operator.__name__: operator for operator in OPERATORS.values()}

#: Family → its first part that no engine executes; all others compile.
REFUSED = {
    "Swin": "Swin",
    "Swin, as many heads as tokens in a window": "Swin",
    "DINOv3": r"Rotary \(rotary position embeddings",
    "EVA-02": r"Rotary \(rotary position embeddings",
    "BEiT": r"ScoreBias \(relative position bias",
    "Perception Encoder": r"Rotary \(rotary position embeddings",
    "gated by GELU": r"Multiply \(gated MLPs",
    "SigLIP": r"ConstantTokens \(attention pooling",
}


def test_every_operator_is_compiled_or_named():
    compiled = {*_PAYLOADS, Patchify, Softmax, LayerNorm}
    assert compiled | {*NEEDED_BY} == set(OPERATORS.values())
    assert not compiled & {*NEEDED_BY}


def test_the_simulator_refuses_the_same_operators():
    """At the size of one row; the engines hold no other rotated or permuted rows either."""
    for name, kind in KINDS.items():
        part = "embedding" if name in ("Patchify", "AssembleTokens") else "head"
        rows = 1 if name == "SelectToken" else 2
        op = Operation(
            "x", kind, part, -1, rows, 4, inner=4 * (kind in MATMULS), weight_bits=8 * (kind == "linear")
        )
        assert has_engine(op) == (OPERATORS_BY_NAME[name] not in NEEDED_BY), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_compiles_or_is_refused_by_the_name_of_what_it_has(family):
    pytest.importorskip("torch")
    program = family_program(family)
    if family not in REFUSED:
        compile_program(program, MACHINE)
        return
    with pytest.raises(UnfitProgramError) as refused:
        compile_program(program, MACHINE)
    said = str(refused.value)
    assert re.match(rf"[\w.]+: no engine of the accelerator executes .*{REFUSED[family]}", said)
    assert said.endswith(
        "; the accelerator holds ViT, DeiT, CLIP and DINOv2 with attention over all tokens; run this program on "
        "another back-end ('p2vit verify', 'p2vit export'), "
        "or cost it on a modelled machine ('p2vit simulate --hw paper')"
    )
