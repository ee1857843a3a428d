from dataclasses import replace

import pytest

pytest.importorskip("torch")

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.program import program_workload
from p2vit.models.config import ViTConfig
from support.families import FAMILIES, SWIN, family_program
from support.programs import random_program, windowed_program
from support.tiny import float_model, swin_model

CONFIG = ViTConfig("vit", (8, 12), 4, 48, 2, 3, 80, 5)


@pytest.mark.parametrize("form", ["linear", "log2"])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_program_and_its_architecture_cost_the_same(form, bits, pool):
    program = random_program(form=form, weight_bits=bits, pool=pool)
    config = replace(CONFIG, pool=pool, pool_before_norm=pool == "avg")
    assert program_workload("vit", program) == workload_of_config(config, Precision(bits, form == "log2"))


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


@pytest.mark.parametrize("method", ["p2vit", "p2vit-log2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_and_its_architecture_cost_the_same(family, method):
    program = family_program(family, 4, method)
    model = swin_model if family.startswith(SWIN) else float_model
    config = model(1, **FAMILIES[family]).config
    ends = ("patch_embed", "head") if config.num_classes else ("patch_embed",)
    precision = Precision(4, method == "p2vit-log2", dict.fromkeys(ends, 8))
    found, wanted = program_workload(config.name, program), workload_of_config(config, precision)
    assert found == wanted
    assert simulate(found, load_machine("edge")).result.fits
