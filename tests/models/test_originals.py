"""Models of transformers, saved by the library: loaded by path and in memory, each compared with the library's own."""

import pytest

torch = pytest.importorskip("torch")

from p2vit.models.registry import load_model  # noqa: E402
from p2vit.models.sources.module import from_module  # noqa: E402
from support.hf_classes import HF_CLASSES, shaken  # noqa: E402


@pytest.fixture(scope="module")
def saved(transformers, tmp_path_factory):
    """Class → (module, folder); each made once."""
    made = {}

    def make(name):
        if name not in made:
            shape, values, _ = HF_CLASSES[name]
            model = shaken(getattr(transformers, name)(getattr(transformers, shape)(**values)))
            folder = tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
            processor.save_pretrained(folder)
            made[name] = model, folder
        return made[name]

    return make


@pytest.mark.parametrize("size", [None, (40, 48)], ids=str)
@pytest.mark.parametrize("name", HF_CLASSES)
def test_folders_are_compared(saved, name, size):
    _, folder = saved(name)
    found = load_model(f"hf:{folder}", image_size=size)
    assert found.checked is not None, found.notes
    assert found.checked.difference < 1e-5
    assert found.checked.pixels == (size is None)


@pytest.mark.parametrize("name", HF_CLASSES)
def test_modules_in_memory_are_compared(transformers, saved, name):
    model, _ = saved(name)
    found = from_module(model, transformers.ViTImageProcessor(size={"height": 32, "width": 32}))
    assert found.checked is not None, found.notes
    assert found.checked.difference < 1e-5
