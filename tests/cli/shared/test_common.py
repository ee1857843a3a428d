import json
import math
from pathlib import Path

import pytest
from pydantic import BaseModel

from p2vit.cli.shared.common import Output
from p2vit.errors import P2vitError
from p2vit.files import check_output, make_folder, write_text
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


def test_outputs_are_checked(tmp_path):
    check_output(tmp_path / "new" / "file", overwrite=False)
    (tmp_path / "file").touch()
    check_output(tmp_path / "file", overwrite=True)
    with pytest.raises(P2vitError, match=r"exists already.*--overwrite"):
        check_output(tmp_path / "file", overwrite=False)
    with pytest.raises(P2vitError, match="is a folder; give the name of a file"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(P2vitError, match="cannot be made a folder"):
        make_folder(tmp_path / "file" / "below")


def test_files_are_written_whole(tmp_path):
    write_text(tmp_path / "x", "é")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "é"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(P2vitError, match="cannot be written"):
        write_text(tmp_path / "no" / "x", "")


def test_threads():
    assert thread_count(3) == 3
    assert 1 <= thread_count(None) <= 8


@pytest.mark.parametrize("verb", ["simulate", "explore"])
def test_what_is_wrong_is_json_too(p2vit, verb):
    answer = p2vit(verb, "digits", "--hw", "papper", "--json")
    assert answer.code == 2
    assert set(answer.json) == {"error"}
    assert answer.err == f"error: {answer.json['error']}\n"
