import pytest
import torch

from p2vit.errors import MissingPackageError, ModelError
from p2vit.models.registry import load_model


def test_random_is_seeded_whatever_the_threads():
    threads = torch.get_num_threads()
    first = load_model("random:digits", seed=3).sha256
    try:
        torch.set_num_threads(1)
        assert load_model("random:digits", seed=3).sha256 == first
    finally:
        torch.set_num_threads(threads)
    assert load_model("random:digits", seed=4).sha256 != first


def test_random_activations_are_realistic():
    module = load_model("random:deit_tiny_patch16_224").module
    x = module.encode(torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8))
    assert 0.5 < x.std() < 10
    assert x.abs().max() > 3 * x.std()


def test_image_size_changes_tokens():
    model = load_model("random:vit_small_patch14_dinov2_224", image_size=(28, 42))
    assert model.config.tokens == 1 + 2 * 3
    assert model.preprocessing.image_size == (28, 42)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("random:deit_tinny_patch16_224", "Did you mean"),
        ("dinov2-elvp", "Did you mean 'dinov2-elpv'"),
        ("facebook/dinov2-small", "hf:ORG/NAME"),
        ("nowhere.safetensors", "no such file"),
    ],
)
def test_what_cannot_be_found(spec, message):
    with pytest.raises(ModelError, match=message):
        load_model(spec, arch=None if spec.startswith("random:") else "digits")


def test_model_is_frozen_for_inference():
    model = load_model("digits")
    assert not model.module.training
    assert not any(p.requires_grad for p in model.module.parameters())
    assert model.class_names == tuple("0123456789")
    assert len(model.sha256) == 64


@pytest.mark.benchmark
def test_digits_accuracy():
    from p2vit.data.benchmarks import open_photos

    model = load_model("digits")
    try:
        photos = open_photos("digits", model.preprocessing)
    except MissingPackageError as error:
        pytest.skip(str(error))
    right = sum(
        int((model.module(torch.from_numpy(p)).argmax(1).numpy() == y).sum())
        for p, y in photos.evaluation(None, 256)
    )
    assert right / len(photos) >= 0.97
