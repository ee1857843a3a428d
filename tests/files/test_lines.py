import os

import pytest

from p2vit.errors import P2vitError
from p2vit.files import LineFile
from support.interrupted import DONE, REFUSED, in_child, on_a_disk_of


def test_lines_and_what_was_cut(tmp_path):
    file = LineFile(tmp_path / "deep" / "log")
    assert file.read("a log") == ([], "")
    file.append("one\n")
    file.append("zwei\u2028 é\nthree\n")
    lines = ["one\n", "zwei\u2028 é\n", "three\n"]
    assert file.read("a log") == (lines, "")
    with file.path.open("a") as more:
        more.write("fo")
    assert file.read("a log") == (lines, "fo")
    file.cut(lines)
    assert file.path.read_text(encoding="utf-8") == "".join(lines)
    file.cut()
    assert file.path.read_bytes() == b""
    file.path.write_bytes(b"\xff\n")
    with pytest.raises(P2vitError, match="log: cannot be read as a log: "):
        file.read("a log")


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path):
    path = tmp_path / "log"
    assert on_a_disk_of(3, lambda: LineFile(path).append("four\n")) == REFUSED
    assert not path.exists()
    LineFile(path).append("four\n")
    for size in range(5, 10):
        assert on_a_disk_of(size, lambda: LineFile(path).append("more\n")) == REFUSED
        assert path.read_text() == "four\n"
    assert on_a_disk_of(10, lambda: LineFile(path).append("more\n")) == DONE


def test_the_error_says_how_much_is_needed(small_disk):
    with pytest.raises(
        P2vitError, match=r"log: cannot be written: No space left on device; 100,000 bytes are needed"
    ):
        LineFile(small_disk / "log").append("x" * 99_999 + "\n")


@pytest.mark.parametrize("name", ["fifo", "/dev/full", "folder", "dangling"])
def test_no_plain_file(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("fifo")
    with pytest.raises(P2vitError, match=f"{name}: |fifo: is a FIFO, not a plain file"):
        LineFile(tmp_path / name)


def test_rows_of_many_runs_at_once(tmp_path):
    path = tmp_path / "table.csv"
    children = []
    for number in range(4):
        if (child := os.fork()) == 0:
            try:
                for _ in range(20):
                    LineFile(path).append_row("a,b\n", f"{number},{'x' * 300}\n")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = path.read_text().splitlines()
    assert lines[0] == "a,b"
    assert sorted(lines[1:]) == sorted(f"{number},{'x' * 300}" for number in range(4) for _ in range(20))
    path.write_text("a,b\n1")
    assert in_child(lambda: LineFile(path).append_row("a,b\n", "2,3\n")) == DONE
    assert path.read_text() == "a,b\n1\n2,3\n"
