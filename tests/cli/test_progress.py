import sys

from p2vit.cli import progress
from p2vit.cli.progress import Progress


def test_plain_lines_say_start_and_end(capsys):
    with Progress() as show:
        for done in range(5):
            show("evaluate", done, 4)
        show("evaluate", 4, 4)
    assert capsys.readouterr().err == "evaluate: 0/4\nevaluate: 4/4\n"


def test_plain_lines_come_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress() as show:
        for done in range(6):
            show("x", done, 10)
    assert capsys.readouterr().err == "x: 0/10\nx: 3/10\n"


def test_silent(capsys):
    with Progress(silent=True) as show:
        show("x", 0, 1)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress() as show:
        show("blocks", 0, 2)
        show("blocks", 2, 2)
    err = capsys.readouterr().err
    assert "blocks" in err
    assert "2/2" in err
