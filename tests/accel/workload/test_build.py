import pytest

from p2vit.accel.problems import AccelError
from p2vit.accel.workload.build import workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.models.architectures import ARCHITECTURES, macs


@pytest.mark.parametrize(
    "name", ["deit_tiny_patch16_224", "vit_large_patch16_224", "vit_small_patch14_dinov2_224"]
)
def test_macs_equal_the_architecture_table(name):
    assert workload_of(name).macs == macs(ARCHITECTURES[name].config)


def test_no_kind_of_operation_is_left_out():
    kinds = {op.kind for op in workload_of("deit_tiny_patch16_224").operations}
    assert kinds == {
        "move", "linear", "tokens", "layernorm", "scores", "softmax", "attention_values",
        "lookup", "add", "affine",
    }  # fmt: skip


def test_weight_bytes_of_deit_base():
    assert workload_of("deit_base_patch16_224").weight_bytes == pytest.approx(86.3e6, rel=0.01)


def test_four_bit_weights_halve():
    eight, four = (workload_of("deit_tiny_patch16_224", Precision(bits)) for bits in (8, 4))
    assert four.weight_bytes < 0.53 * eight.weight_bytes
    assert four.macs == eight.macs


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


def test_pooling_by_average_reads_every_patch():
    from dataclasses import replace

    config = replace(ARCHITECTURES["digits"].config, pool="avg")
    for before, rows in ((False, 17), (True, 1)):
        workload = workload_of_config(replace(config, pool_before_norm=before))
        operations = {op.name: op for op in workload.operations}
        assert (operations["pool"].kind, operations["pool"].rows) == ("pool", 16)
        assert operations["norm"].rows == rows


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        # Liu et al., ICCV 2021, table 1: 4.5, 8.7 and 15.4 G multiply-adds at 224².
        ("swin_tiny_patch4_window7_224", 4.5),
        ("swin_small_patch4_window7_224", 8.7),
        ("swin_base_patch4_window7_224", 15.4),
    ],
)
def test_macs_of_swin_are_the_published_ones(name, gmacs):
    assert workload_of(name).macs / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_windows_shifts_and_merging_cost_something():
    operations = {op.name: op for op in workload_of("swin_tiny_patch4_window7_224").operations}
    scores = operations["blocks.0.attn.scores"]
    assert (scores.instances, scores.rows, scores.cols, scores.inner) == (64 * 3, 49, 49, 32)
    assert operations["blocks.0.attn.bias"].elements == scores.elements
    assert operations["blocks.0.attn.windows"].elements == 3136 * 96
    assert (operations["blocks.2.merge.reduction"].rows, operations["blocks.2.merge.reduction"].inner) == (
        784,
        384,
    )
    assert "blocks.10.merge.gather" in operations
    assert operations["pool"].rows == 49
