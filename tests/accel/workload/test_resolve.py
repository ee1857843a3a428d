import pytest

from p2vit.accel.problems import AccelError
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import known_models, workload_of
from p2vit.program.format import save
from support.programs import random_program


@pytest.mark.parametrize("name", known_models())
def test_every_known_model_has_a_workload(name):
    assert workload_of(name).name == name


def test_random_weights_cost_the_same():
    assert workload_of("random:deit_tiny_patch16_224") == workload_of("deit_tiny_patch16_224")


def test_unknown_model_suggests():
    with pytest.raises(
        AccelError, match=r"unknown architecture 'deit_tin_patch16_224'; did you mean 'deit_tiny"
    ):
        workload_of("deit_tin_patch16_224")


def test_a_saved_program(tmp_path):
    save(random_program(), tmp_path / "p")
    assert workload_of(str(tmp_path / "p")).macs == random_program().macs
    with pytest.raises(AccelError, match="a program has its own bits"):
        workload_of(str(tmp_path / "p"), Precision(4))
