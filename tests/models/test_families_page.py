"""The table in docs/reference/models.md has every family, class and architecture of the code, and no other."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

pytest.importorskip("torch")

from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.source_names import RESIZED
from p2vit.models.sources.hf_classes import FEATURES, LOGITS
from p2vit.models.sources.hf_layout import FAMILIES
from p2vit.models.sources.hf_original import STEMS
from p2vit.models.sources.hf_processor import USUAL
from support.hf_classes import HF_CLASSES

PAGE = Path(__file__).parents[2] / "docs/reference/models.md"


@pytest.fixture(scope="module")
def rows():
    """Cells of the table: family, timm, transformers, pool."""
    section = PAGE.read_text(encoding="utf-8").partition("## Families\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(rows, column):
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[column])}


def test_every_class_of_transformers_has_a_place(rows):
    known = {name for table in (LOGITS, FEATURES) for names in table.values() for name in names}
    assert {name for name in quoted(rows, 2) if name[0].isupper()} == known


def test_every_architecture_has_a_place(rows):
    patterns = quoted(rows, 1)
    for name in set(ARCHITECTURES) - {"digits"}:
        plain = name.removesuffix("_224") if RESIZED.fullmatch(name) else name
        assert any(fnmatchcase(plain, pattern) for pattern in patterns), name


def test_every_name_is_one_of_timm(timm, rows):
    names = timm.list_models("*") + timm.list_models("*", pretrained=True)
    for pattern in quoted(rows, 1):
        assert any(fnmatchcase(name, pattern) for name in names), pattern


def test_every_type_of_transformers_is_known_everywhere():
    types = {*FAMILIES, "swin"}
    assert types == set(LOGITS) == set(FEATURES) == set(STEMS) == set(USUAL)


def test_every_class_is_compared_with_the_library():
    """Two-tower models and backbones have tests of their own."""
    elsewhere = {"CLIPModel", "SiglipModel", "Dinov2Backbone", "Dinov2WithRegistersBackbone"}
    known = {name for table in (LOGITS, FEATURES) for names in table.values() for name in names}
    assert known - set(HF_CLASSES) == elsewhere
