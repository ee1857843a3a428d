from dataclasses import replace

import pytest

from p2vit.models.blueprint.block import encoder_block
from p2vit.models.blueprint.step import Sketch
from p2vit.models.rotary import RotaryPositions
from p2vit.models.windows import BlockShape, Merge, Windows

PLAIN = BlockShape(24, 3, 40, 12)


def steps(shape: BlockShape, tokens: int = 12, channels: int = 24):
    sketch = Sketch({"stream": (tokens, channels)})
    after = encoder_block(sketch, 0, shape, "stream")
    assert sketch.shapes[after] == (shape.tokens, shape.dim)
    return {step.name.removeprefix("blocks.0."): step for step in sketch.steps}


def test_a_plain_block():
    found = steps(PLAIN)
    assert list(found) == [
        "norm1", "attn.q", "attn.k", "attn.v", "attn.scores", "attn.softmax", "attn.values", "attn.proj", "add1",
        "norm2", "mlp.fc1", "mlp.gelu", "mlp.fc2", "add2",
    ]  # fmt: skip
    assert [found[name].part for name in ("norm1", "add1", "norm2", "add2")] == ["attention"] * 2 + [
        "mlp"
    ] * 2
    assert found["attn.scores"].shape == (3, 12, 12)


def test_rotary_positions_turn_queries_and_keys():
    rotary = RotaryPositions("axial", (3, 4), 0, 8, 100.0)
    found = steps(replace(PLAIN, rotary=rotary))
    assert found["attn.scores"].inputs == ("blocks.0.attn.q.rotary", "blocks.0.attn.k.rotary")
    assert (found["attn.q"].width, found["attn.q"].grid) == ("wide", "q_linear")
    assert (found["attn.q.rotary"].width, found["attn.q.rotary"].grid) == ("activation", "q")
    assert found["attn.values"].inputs[1] == "blocks.0.attn.v"


@pytest.mark.parametrize("norm", [False, True])
def test_a_gate_multiplies_the_activation(norm):
    found = steps(replace(PLAIN, gated_mlp=True, mlp_norm=norm))
    assert found["mlp.gated"].inputs == ("blocks.0.mlp.gelu", "blocks.0.mlp.up")
    assert found["mlp.gated"].width == ("wide" if norm else "activation")
    assert found["mlp.fc2"].inputs == ("blocks.0.mlp.norm" if norm else "blocks.0.mlp.gated",)


def test_windows_are_gathered_before_the_linear_layers():
    found = steps(replace(PLAIN, tokens=16, windows=Windows((4, 4), (2, 2))), tokens=16)
    assert found["attn.q"].inputs == ("blocks.0.attn.windows",)
    assert found["attn.proj"].inputs == ("blocks.0.attn.back",)
    assert (found["attn.scores"].shape, found["attn.scores"].windows) == ((3, 16, 4), 4)
    assert found["attn.softmax"].inputs == ("blocks.0.attn.bias",)


def test_padded_windows_are_gathered_behind_them():
    found = steps(replace(PLAIN, windows=Windows((3, 4), (2, 2))))
    assert "attn.windows" not in found
    assert [found[f"attn.{name}.windows"].fill for name in "qkv"] == ["q", "k", "v"]
    assert found["attn.v.windows"].shape == (16, 24)
    assert found["attn.back"].shape == (12, 24)


def test_one_window_moves_nothing():
    found = steps(replace(PLAIN, windows=Windows((3, 4), (3, 4))))
    assert not any(step.operator == "GatherTokens" for step in found.values())
    assert "attn.bias" in found


def test_patches_are_merged_first():
    shape = replace(PLAIN, merge=Merge((6, 8), 12), tokens=12)
    found = steps(shape, tokens=48, channels=12)
    assert found["merge.gather"].shape == (12, 48)
    assert found["merge.reduction"].shape == (12, 24)
    assert found["add1"].inputs[0] == "blocks.0.merge.reduction"
