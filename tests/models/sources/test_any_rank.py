"""A tensor of any rank in the place of any other is refused by name, in every layout of weights."""

import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from support.model_files import originals
from support.odd_models import write
from support.tiers import extended

RANKS = [(), (0,), (1,), (3,), (0, 4), (2, 2), (1, 1, 1, 1, 1)]


@pytest.fixture(scope="module")
def bases():
    """Models in every layout, as files that load."""
    return originals()


def refusal(spec, options):
    """Load a model; return the text of the refusal, or None if it loads."""
    try:
        load_model(spec, **options)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "layout",
    extended(
        ["own", "timm", "timm, legacy", "torchvision", "torchvision swin", "timm hub", "vit", "dinov2"],
        quick=["timm", "vit"],
    ),
)
def test_a_tensor_of_another_rank_is_refused(bases, layout, tmp_path):
    """Every tensor of a model with two other shapes; those outside the blocks with all of the list."""
    case = bases[layout]
    arguments = dict(zip(case.arguments[::2], case.arguments[1::2], strict=True))
    options = {"check": False}
    if "--arch" in arguments:
        options["arch"] = arguments["--arch"]
    if "--image-size" in arguments:
        options["image_size"] = (int(arguments["--image-size"]),) * 2
    for at, name in enumerate(case.state):
        for step in range(
            len(RANKS) if "weight" in name and "block" not in name and "layer" not in name else 2
        ):
            shape = RANKS[(at + step) % len(RANKS)]
            if tuple(case.state[name].shape) == shape:
                continue
            place = tmp_path / f"{at}-{step}"
            place.mkdir()
            changed = type(case)(**{**vars(case), "state": {**case.state, name: torch.zeros(shape)}})
            spec = write(changed, None, place, None)
            message = refusal(f"hf:{spec}" if case.folder else str(spec), options)
            assert message is None or str(place) in message, (name, shape, message)
