import re

import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.compile.errors import UnfitProgramError
from p2vit.hdl.compile.supported import EXECUTED, NEEDED_BY
from p2vit.hdl.top.machine import RtlMachine
from p2vit.numerics import OPERATORS
from support.families import FAMILIES, family_program

MACHINE = RtlMachine(lines=8, lanes=8, row_rows=32, weight_rows=128, columns=128, vector_columns=256)

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


def test_every_operator_is_executed_or_named():
    assert {*EXECUTED, *NEEDED_BY} == set(OPERATORS.values())


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
