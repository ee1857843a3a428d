import json

import pytest

from p2vit.errors import P2vitError
from p2vit.quant.search.journal import Journal

SETTINGS = {"search": 1, "model": "abc", "seed": 0, "evolution": {}}


def test_it_remembers_and_continues(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    journal = Journal(path, SETTINGS)
    journal.add((4, 8), 0.1 + 0.2, 0, 6.0)
    journal.add((8, 8), float("inf"), 1, 8.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == SETTINGS
    assert lines[1] == {"index": 0, "generation": 0, "bits": [4, 8], "cost": 6.0, "sqnr_db": 0.1 + 0.2}
    assert Journal(path, SETTINGS).scores == {(4, 8): 0.1 + 0.2, (8, 8): float("inf")}


def test_a_line_that_was_cut_short_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    journal = Journal(path, SETTINGS)
    journal.add((4,), 1.0, 0, 4.0)
    whole = path.read_bytes()
    journal.add((8,), 2.0, 0, 8.0)
    path.write_bytes(path.read_bytes()[:-5])
    assert Journal(path, SETTINGS).scores == {(4,): 1.0}
    assert path.read_bytes() == whole


def test_a_log_of_another_search_is_refused_and_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    Journal(path, SETTINGS).add((4,), 1.0, 0, 4.0)
    before = path.read_bytes()
    with pytest.raises(P2vitError, match=r"log.jsonl: it logs a search with other settings \(seed\)"):
        Journal(path, {**SETTINGS, "seed": 1})
    assert path.read_bytes() == before
    assert Journal(path, {**SETTINGS, "seed": 1}, overwrite=True).scores == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello\n", "first line is not that of a search"),
        (b"\xff\xfe\n", "cannot be read"),
        (json.dumps(SETTINGS).encode() + b'\n{"bits": 3}\n', "log.jsonl:2: not a candidate"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(P2vitError, match=message):
        Journal(path, SETTINGS)
