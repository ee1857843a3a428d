"""The table of architectures against timm: every shape that p2vit states is that of timm's own model of the name."""

from dataclasses import fields, replace

import pytest

torch = pytest.importorskip("torch")

from p2vit.models.architectures import ARCHITECTURES, find  # noqa: E402
from p2vit.models.config import ViTConfig  # noqa: E402
from p2vit.models.source_names import RESIZED  # noqa: E402
from p2vit.models.sources.checkpoint import as_timm_makes  # noqa: E402
from p2vit.models.sources.timm_source import config_from_timm  # noqa: E402

NAMES = [name for name in ARCHITECTURES if name != "digits" and not RESIZED.fullmatch(name)]


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_those_of_timm(timm, name):
    known = as_timm_makes(find(name).config)
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=known.num_classes)
    found = config_from_timm(model, name)
    if isinstance(found, ViTConfig):
        assert found == known
        return
    for each in fields(found):
        if each.name != "window":
            assert getattr(found, each.name) == getattr(known, each.name), each.name
    assert found.blocks == known.blocks
    assert replace(known, window=found.window) == found
