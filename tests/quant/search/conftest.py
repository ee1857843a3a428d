import pytest

from p2vit.quant.config import QuantConfig
from p2vit.quant.search.run import prepare


@pytest.fixture
def prepared(tiny_model, photos):
    return prepare(tiny_model, photos[:10], photos[10:], QuantConfig(), (4, 8), threads=2)
