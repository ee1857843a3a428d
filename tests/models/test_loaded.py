import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.architectures import DIGITS
from p2vit.models.loaded import assemble
from p2vit.models.registry import load_model


@pytest.fixture
def state():
    return dict(load_model("digits").module.named_parameters())


def put(state, **more):
    return assemble(DIGITS.config, state, DIGITS.preprocessing, source="here", **more)


def test_hash_follows_the_values(state):
    first = put(state).sha256
    assert put(state).sha256 == first
    state["norm.bias"] = state["norm.bias"] + 1
    assert put(state).sha256 != first


def test_every_problem_is_named(state):
    del state["norm.weight"]
    state["what"] = torch.zeros(1)
    state["norm.bias"] = torch.zeros(3)
    state["head.bias"] = torch.full((10,), float("inf"))
    with pytest.raises(ModelError) as caught:
        put(state)
    for text in ("missing: norm.weight", "what", "norm.bias is [3], not [64]", "infinity in head.bias"):
        assert text in str(caught.value)


def test_class_names_must_fit(state):
    with pytest.raises(ModelError, match="2 class names for 10 classes"):
        put(state, class_names=("a", "b"))
