import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.build import BITS, Widths, blueprint_workload, workload_of_config
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.models.architectures import ARCHITECTURES, macs
from p2vit.models.blueprint.block import attention
from p2vit.models.blueprint.step import PIXELS, Blueprint, Sketch
from p2vit.models.windows import BlockShape


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


def test_another_topology_needs_only_its_blueprint():
    """Attention and MLP side by side on one LayerNorm, as in ViT-22B: no other file knows of it."""
    shape = BlockShape(64, 2, 128, 17)
    sketch = Sketch({PIXELS: (8, 8, 3), "stream": (17, 64)})
    sketch.within("attention", "block", 0)
    normal = sketch.norm("norm", "stream", "norm1")
    parts = [sketch.linear(name, normal, 64, name, name, "activation") for name in "qkv"]
    mixed = attention(sketch, "attn", shape, parts, biased=False)
    proj = sketch.linear("proj", mixed, 64, "proj", "branch1", "stream")
    hidden = sketch.linear("fc1", normal, 128, "fc1", "fc1", "activation")
    hidden = sketch.add("gelu", "Lookup", [hidden], (17, 128), grid="gelu")
    branch = sketch.linear("fc2", hidden, 64, "fc2", "branch2", "stream")
    both = sketch.add("both", "Add", [proj, branch], (17, 64), width="stream")
    plan = Blueprint("parallel", (8, 8, 3), tuple(sketch.steps), both, both)
    bits = {step.name: {**BITS, "codes": 8}[step.width] for step in plan.steps}
    linears = {step.name: 8 for step in plan.steps if step.operator == "Linear"}
    workload = blueprint_workload(plan, Widths({PIXELS: 8, "stream": 16, **bits}, linears))
    assert workload.macs == 17 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 17 * 17 * 64
    assert simulate(workload, load_machine("edge")).result.fits
