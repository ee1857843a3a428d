import pytest

from p2vit.accel.problems import AccelError
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.models.architectures import ARCHITECTURES


def test_single_layers_have_their_own_bits():
    workload = workload_of("deit_tiny_patch16_224", Precision(layers={"blocks.3.mlp.fc1": 4}))
    assert {op.name: op.weight_bits for op in workload.operations if op.weight_bits == 4} == {
        "blocks.3.mlp.fc1": 4
    }


def test_wrong_precision_is_refused_all_at_once():
    with pytest.raises(AccelError, match=r"(?s)weight_bits is 5.*a is 3; allowed: 4, 8"):
        Precision(5, layers={"a": 3})
    config = ARCHITECTURES["deit_tiny_patch16_224"].config
    with pytest.raises(
        AccelError, match=r"no linear is called 'blocks\.0\.fc1'; did you mean 'blocks\.0\.mlp\.fc1'"
    ):
        workload_of_config(config, Precision(layers={"blocks.0.fc1": 4}))
