import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.sources.reader import StateReader, patch_linear, unsupported_pieces


def test_a_state_that_is_used_up_is_fine():
    read = StateReader({"a": torch.ones(1, 1, 3), "junk": torch.ones(1)}, "here")
    assert read.take("a", (1, 3)).shape == (1, 3)
    assert read.take_or("bias", (2,), fill=1.0).tolist() == [1, 1]
    assert read.take_any("none") is None
    read.drop("ju*")
    read.finish("arch")


def test_everything_wrong_is_said_at_once():
    read = StateReader(
        {"a": torch.ones(2), "b": torch.tensor([float("nan")]), "left.running_mean": torch.ones(1)}, "here"
    )
    read.take("a", (3,))
    read.take("b", (1,))
    read.take("c", (1,))
    with pytest.raises(ModelError) as caught:
        read.finish("arch")
    for text in (
        "here does not fit arch",
        "BatchNorm",
        "missing: c",
        "a is [2], not [3]",
        "NaN or infinity in: b",
    ):
        assert text in str(caught.value)


def test_pieces_are_told_by_name():
    assert unsupported_pieces(["blocks.0.attn.q_norm.weight", "blocks.0.attn.k_norm.weight"]) == [
        "normalised queries and keys (qk_norm)"
    ]


def test_patch_linear_equals_the_convolution():
    weight, photo = torch.randn(5, 3, 4, 4), torch.randn(1, 3, 4, 4)
    want = torch.nn.functional.conv2d(photo, weight).flatten()
    got = patch_linear(weight) @ photo[0].permute(1, 2, 0).flatten()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
