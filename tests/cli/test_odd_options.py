"""Every verb with odd inputs and odd values of every option: a small sample; `make fuzz-verbs` runs thousands."""

import click
import pytest

from p2vit.cli.main import VERBS
from support.verb_cases import SHORT, VerbCases, verbs

pytest.importorskip("torch")
#: Cases of the sample, spread evenly over the verbs.
CASES = 60


def test_every_verb_is_covered():
    assert set(verbs()) == set(VERBS)
    assert set(SHORT) <= set(VERBS)


def test_every_option_comes_up(tmp_path):
    """Whatever options a verb declares, some of the first thousands of command lines have them."""
    cases = VerbCases(tmp_path / "here")
    missing = {
        (verb, parameter.name)
        for verb, command in cases.verbs.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name not in ("as_json", "quiet")
    }
    for seed in range(6000):
        if not missing:
            break
        verb = list(cases.verbs)[seed % len(cases.verbs)]
        if any(verb == each for each, _ in missing):
            missing -= {(verb, name) for name in cases.case(seed)[2]}
    assert not missing


def test_no_input_ends_in_a_defect(tmp_path):
    cases = VerbCases(tmp_path / "here", stop_after=2.0)
    failures = [text for seed in range(CASES) for text in cases.run(seed).failures]
    assert not failures, "\n".join(failures)
