import pytest

from p2vit.models.blueprint.model import blueprint
from p2vit.models.config import ViTConfig
from p2vit.models.swin_config import SwinConfig

SMALL = {
    "name": "vit",
    "image_size": (8, 12),
    "patch_size": 4,
    "embed_dim": 24,
    "depth": 1,
    "heads": 3,
    "mlp_dim": 40,
}


def steps(**changes):
    plan = blueprint(ViTConfig(**{**SMALL, "num_classes": 5, **changes}))
    return {step.name: step for step in plan.steps}, plan


def ends(**changes):
    return [name for name in steps(**changes)[0] if not name.startswith("blocks.")]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ["pool", "norm", "feature", "head"]),
        ({"pool": "avg"}, ["norm", "pool", "feature", "head"]),
        ({"pool": "avg", "pool_before_norm": True}, ["pool", "norm", "feature", "head"]),
        ({"pool": "token_dist", "register_tokens": 1}, ["pool", "norm", "pair", "feature", "head"]),
        ({"pool": "token_avg"}, ["norm", "pool", "pair.token", "pair.mean", "pair", "feature", "head"]),
        ({"num_classes": 0}, ["pool", "norm", "feature"]),
        ({"embedding_dim": 20}, ["pool", "norm", "feature", "projection", "normalised", "embedding", "head"]),
    ],
)
def test_what_stands_behind_the_blocks(changes, wanted):
    assert ends(**changes) == ["patches", "patch_embed", "tokens", *wanted]


def test_means_leave_prefix_tokens_out():
    found, _ = steps(pool="avg", register_tokens=2)
    assert found["pool"].reads == (3, 6)


def test_two_vectors_side_by_side_are_twice_as_wide():
    for pool in ("token_dist", "token_avg"):
        found, _ = steps(pool=pool, register_tokens=1)
        assert found["pair"].shape == (1, 48)


def test_an_embedding_is_projected_twice():
    found, plan = steps(embedding_dim=20)
    assert found["projection"].shape == (1, 40)
    assert plan.feature == "embedding"


def test_attention_pooling_has_one_query():
    found, plan = steps(class_token=False, pool="attention", num_classes=0)
    assert found["pool.attn.scores"].shape == (3, 1, 6)
    assert {step.home for name, step in found.items() if name.startswith("pool.")} == {"pool"}
    assert found["feature"].inputs == ("pool.add2",)
    assert plan.output == "feature"


def test_a_layernorm_behind_the_embedding_has_its_gain():
    found, _ = steps(pre_norm=True)
    assert found["blocks.0.norm1"].inputs == ("pre_affine",)
    assert "tokens" not in {step.name for step in blueprint(SwinConfig("s", 16, (1,), (2,), (32, 32))).steps}
