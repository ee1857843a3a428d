import json
import math
from pathlib import Path

import pytest
from pydantic import BaseModel

from p2vit.cli.shared.common import Output
from p2vit.workflows.plain import to_json
from p2vit.workflows.threads import thread_count


class Model(BaseModel):
    value: float


def test_json_is_json():
    found = json.loads(
        to_json({"a": math.inf, "b": [math.nan, (1, 2)], "c": Path("x"), "d": Model(value=1.5), 3: "é"})
    )
    assert found == {"a": None, "b": [None, [1, 2]], "c": "x", "d": {"value": 1.5}, "3": "é"}


def test_quiet_silences_notes_but_not_warnings(capsys):
    out = Output(quiet=True)
    out.note("nothing")
    out.warn("something")
    assert capsys.readouterr() == ("", "warning: something\n")


def test_result_goes_to_stdout(capsys):
    Output().result({"a": 1}, "text")
    Output(as_json=True).result({"a": 1}, "text")
    assert capsys.readouterr().out == 'text\n{\n "a": 1\n}\n'


def test_threads():
    assert thread_count(3) == 3
    assert 1 <= thread_count(None) <= 8


@pytest.mark.parametrize("verb", ["simulate", "explore"])
def test_what_is_wrong_is_json_too(p2vit, verb):
    answer = p2vit(verb, "digits", "--hw", "papper", "--json")
    assert answer.code == 2
    assert set(answer.json) == {"error"}
    assert answer.err == f"error: {answer.json['error']}\n"
