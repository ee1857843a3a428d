import json

import pytest

from p2vit.errors import P2vitError
from p2vit.files.record import RECORD, Record, Written, unfinished_sets


def test_it_is_read_as_it_was_written(tmp_path):
    record = Record({"b/\udcff": Written("x", ("1", "2")), "a": Written("a", ("3",))}, {"x": "how"})
    (tmp_path / RECORD).write_bytes(record.encode())
    assert Record.read(tmp_path) == record
    assert unfinished_sets(tmp_path) == {"x": "how"}
    assert Record.read(tmp_path / "nowhere") == Record()
    assert record.fills_a_folder("x")
    assert not record.fills_a_folder("a")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format": "p2vit-files", "version": 2, "files": {}}',
        b'{"format": "p2vit-files", "version": 1, "files": {"a": 3}}',
        b'{"format": "p2vit-files", "version": 1, "files": []}',
        b"[" * 100_000,
        *(
            json.dumps(
                {"format": "p2vit-files", "version": 1, "files": {name: {"set": "x", "sha256": ["1"]}}}
            ).encode()
            for name in ("../out", "/etc/passwd", "a/../../b", "", "a\0b")
        ),
    ],
)
def test_what_is_no_record_is_named_and_believed_nothing(tmp_path, content):
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(
        P2vitError, match=r"\.p2vit-files\.json: is not a record of this release of p2vit; move it"
    ):
        Record.read(tmp_path)
    assert unfinished_sets(tmp_path) == {}


def test_a_folder_for_a_record(tmp_path):
    (tmp_path / RECORD).mkdir()
    with pytest.raises(P2vitError, match="is not a record"):
        Record.read(tmp_path)
