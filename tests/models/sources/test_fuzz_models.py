"""Weight files and configurations damaged in every way: refused by name or quantized, never a defect.

``make fuzz-models`` runs many more, each in a process of its own with a bound on time and memory.
"""

import pytest

from support.model_damage import KINDS
from support.model_files import originals
from support.odd_models import Found, make, run
from support.tiers import extended

ROUNDS = 7


@pytest.fixture(scope="module")
def bases():
    return originals()


@pytest.mark.parametrize("kind", extended(KINDS, quick=list(KINDS)[::3]))
def test_damage_is_refused_or_quantized(bases, kind, tmp_path):
    for seed in range(KINDS.index(kind), ROUNDS * len(KINDS), len(KINDS)):
        assert make(seed, bases)[0].kind == kind
        assert run(seed, bases, tmp_path / "case").failures == []


@pytest.mark.extended
def test_what_is_not_damaged_is_quantized(bases, tmp_path, monkeypatch):
    for name, case in bases.items():
        monkeypatch.setattr("support.odd_models.make", lambda seed, bases, case=case: (case, None))
        assert run(1, bases, tmp_path / "case") == Found(name, 0, [])
