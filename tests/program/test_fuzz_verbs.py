"""Damaged program files through loading, the audit, the engines and every verb that reads them.

``make fuzz`` runs many more, each watched from outside; here are a few of every kind.
"""

import pytest

from p2vit.program.format import GRAPH_FILE, TENSOR_FILE
from support.damage import DAMAGE
from support.walk import Walk

pytest.importorskip("torch")
ROUNDS = 3


@pytest.fixture(scope="module")
def walk(tmp_path_factory, digits_program):
    own = ((digits_program / GRAPH_FILE).read_bytes(), (digits_program / TENSOR_FILE).read_bytes())
    return Walk(tmp_path_factory.mktemp("walk"), [*Walk.made(), own, own])


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_or_runs_as_the_reference_does(walk, kind):
    seeds = range(list(DAMAGE).index(kind), ROUNDS * len(DAMAGE), len(DAMAGE))
    for seed in seeds:
        assert walk.case(seed)[0] == kind
        found = walk.run(seed)
        assert found.exits
        assert not found.failures


def test_what_is_not_damaged_passes_every_verb(walk, monkeypatch):
    """The walk itself finds nothing to object to, and its verbs do their work."""
    monkeypatch.setattr(walk, "case", lambda seed: ("none", *walk.originals[-1]))
    found = walk.run(0)
    assert found.loaded
    assert not found.failures
    assert {verb for verb, code in found.exits if code == 0} == {
        "audit", "inspect", "run", "eval", "report", "verify"
    }  # fmt: skip
