"""The blueprint of every known architecture, and its agreement with what the architecture table says."""

import subprocess
import sys
from dataclasses import replace
from math import prod

import pytest

from p2vit.models.architectures import ARCHITECTURES, macs
from p2vit.models.blueprint.model import blueprint
from p2vit.models.blueprint.step import PIXELS, Blueprint
from p2vit.models.dense import feature_maps
from p2vit.numerics import OPERATORS


def matrix_products(plan: Blueprint) -> int:
    """Multiply-accumulates of a blueprint, from its shapes alone."""
    shapes = {PIXELS: plan.pixels, **{step.name: step.shape for step in plan.steps}}
    total = 0
    for step in plan.steps:
        first = shapes[step.inputs[0]][-1]
        inner = {"Linear": first, "Scores": first // step.heads, "AttentionValues": first}
        total += prod(step.shape) * inner.get(step.operator, 0)
    return total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_a_blueprint(name):
    config = ARCHITECTURES[name].config
    plan = blueprint(config)
    names = [step.name for step in plan.steps]
    assert len(set(names)) == len(names)
    assert {step.operator for step in plan.steps} <= {kind.__name__ for kind in OPERATORS.values()}
    assert matrix_products(plan) == macs(config)
    shapes = {step.name: step.shape for step in plan.steps}
    assert shapes[plan.feature] == (1, config.feature_dim)
    assert shapes[plan.output][-1] == (config.num_classes or config.feature_dim)


@pytest.mark.parametrize("name", ["digits", "swin_tiny_patch4_window7_224", "vit_small_patch16_dinov3"])
def test_every_tensor_is_read_or_put_out(name):
    plan = blueprint(ARCHITECTURES[name].config)
    read = {source for step in plan.steps for source in step.inputs}
    assert {step.name for step in plan.steps} - read == {plan.output}


def test_feature_maps_stand_behind_their_blocks():
    config = ARCHITECTURES["digits"].config
    plan = blueprint(config, feature_maps(["layers=0", "tokens"], config))
    steps = {step.name: step for step in plan.steps}
    assert steps["layers.0.norm"].inputs == ("blocks.0.add2",)
    assert steps["patch_tokens.norm"].inputs == ("blocks.2.add2",)
    assert steps["patch_tokens"].shape == (config.tokens, config.embed_dim)


def test_residual_adds_read_the_stream_and_their_branch():
    steps = {step.name: step for step in blueprint(ARCHITECTURES["digits"].config).steps}
    assert steps["blocks.1.add1"].inputs == ("blocks.0.add2", "blocks.1.attn.proj")
    assert steps["blocks.1.add2"].inputs == ("blocks.1.add1", "blocks.1.mlp.fc2")


def test_a_pool_before_the_norm_changes_places():
    config = replace(ARCHITECTURES["digits"].config, pool="avg")
    for before, order in ((True, ["pool", "norm"]), (False, ["norm", "pool"])):
        names = [step.name for step in blueprint(replace(config, pool_before_norm=before)).steps]
        assert [name for name in names if name in ("pool", "norm")] == order


def test_a_blueprint_needs_no_torch():
    code = "import sys, p2vit.models.blueprint.model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
