"""What all tests share."""

import pytest
from hypothesis import settings

from support.command import digits_program, p2vit, photo_folder  # noqa: F401  (fixtures)
from support.torchvision_operators import define

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("p2vit", deadline=None)
settings.load_profile("p2vit")


@pytest.fixture(scope="session")
def torchvision_operators():
    """torchvision, importable also beside a torch that it was not built for; timm and transformers import it."""
    pytest.importorskip("torch")
    fragment = define()
    if fragment is None:
        pytest.skip("torchvision cannot be imported")
    return fragment


@pytest.fixture(scope="session")
def timm(torchvision_operators):
    """timm itself."""
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(torchvision_operators):
    """Hugging Face's transformers itself."""
    return pytest.importorskip("transformers")


@pytest.fixture(scope="session", autouse=True)
def no_float_cache():
    """No test reads what another test or an earlier run computed, except tests that ask for the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P2VIT_FLOAT_CACHE_MB", "0")
        yield
