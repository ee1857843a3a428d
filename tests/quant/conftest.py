import numpy as np
import pytest
import torch

from support.tiny import float_model


@pytest.fixture
def tiny_model():
    return float_model()


@pytest.fixture
def photos() -> np.ndarray:
    """Smooth random photos: neighbouring pixels resemble each other as they do in real ones."""
    coarse = torch.rand(16, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, size=(8, 12), mode="bilinear")
    return (fine * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
