from dataclasses import replace

import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.program import program_workload
from p2vit.accel.workload.vit import Precision, vit_workload
from p2vit.models.config import ViTConfig
from support.programs import random_program, windowed_program

CONFIG = ViTConfig("vit", (8, 12), 4, 48, 2, 3, 80, 5)


@pytest.mark.parametrize("form", ["linear", "log2"])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_program_and_its_architecture_cost_the_same(form, bits, pool):
    program = random_program(form=form, weight_bits=bits, pool=pool)
    config = replace(CONFIG, pool=pool)
    assert program_workload("vit", program) == vit_workload(config, Precision(bits, form == "log2"))


def test_macs_are_the_programs():
    program = random_program()
    assert program_workload("p", program).macs == program.macs


def test_a_program_runs_on_the_machine():
    assert simulate(program_workload("p", random_program(form="log2")), load_machine("edge")).result.fits


def test_an_operator_without_cost_is_refused():
    class Twist:
        pass

    program = random_program()
    nodes = (replace(program.nodes[0], operator=Twist()), *program.nodes[1:])
    with pytest.raises(AccelError, match="patches: operator Twist has no cost"):
        program_workload("p", replace(program, nodes=nodes))


def test_windows_merging_and_a_pooling_head_cost_what_they_do():
    program = windowed_program()
    operations = {op.name: op for op in program_workload("p", program).operations}
    scores = operations["scores"]
    assert (scores.instances, scores.rows, scores.cols, scores.inner) == (6 * 2, 9, 9, 12)
    for name, kind in {"biased": "score_bias", "softmax": "softmax"}.items():
        operation = operations[name]
        assert (operation.kind, operation.instances, operation.rows, operation.cols) == (kind, 6 * 2, 9, 9)
    assert operations["back"].kind == "move"
    assert operations["pool.q"].kind == "tokens"
    assert program_workload("p", program).macs == program.macs
    assert simulate(program_workload("p", program), load_machine("edge")).result.fits


@pytest.mark.parametrize("family", ["ViT", "DINOv3", "EVA-02", "gated by GELU"])
def test_a_family_and_its_architecture_cost_the_same(family):
    pytest.importorskip("torch")
    from support.families import FAMILIES, family_program
    from support.tiny import float_model

    found = program_workload("p", family_program(family))
    wanted = vit_workload(float_model(1, **FAMILIES[family]).config, Precision(8, log2_attention=False))
    ours, theirs = ([op for op in each.operations if op.block >= 0] for each in (found, wanted))
    assert ours == theirs
    assert simulate(found, load_machine("edge")).result.fits
