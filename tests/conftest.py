"""What all tests share."""

import sys

import pytest
from hypothesis import settings

from support.command import digits_program, p2vit, photo_folder  # noqa: F401  (fixtures)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("p2vit", deadline=None)
settings.load_profile("p2vit")


@pytest.fixture(scope="session")
def torchvision_operators():
    """torchvision, importable also beside a torch that it was not built for; timm and transformers import it."""
    torch = pytest.importorskip("torch")
    # A torchvision without its compiled operators registers fakes for them all the same, which fails unless
    # they are defined. No test calls them.
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(8):
        try:
            import torchvision  # noqa: F401

            return fragment
        except ImportError:
            return fragment  # whoever needs it says so
        except RuntimeError as error:
            missing = str(error).partition("torchvision::")[2].split()
            if not missing:
                pytest.skip(f"torchvision cannot be imported: {error}")
            fragment.define(f"{missing[0]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]  # half imported: the next try starts anew
    pytest.skip("torchvision cannot be imported")


@pytest.fixture(scope="session")
def timm(torchvision_operators):
    """timm itself."""
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(torchvision_operators):
    """Hugging Face's transformers itself."""
    return pytest.importorskip("transformers")
