import sys
import time

from p2vit.workflows import progress
from p2vit.workflows.progress import Progress, pace_text


def test_plain_lines_say_start_and_end(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress() as show:
        for done in range(5):
            show("evaluate", done, 4)
        show("evaluate", 4, 4)
    assert capsys.readouterr().err == "evaluate: 0/4\nevaluate: 3/4, 0.5/s, 0:02 left\nevaluate: 4/4, 0.5/s\n"


def test_pace():
    assert pace_text(0, 10, 3.0) == ""
    assert pace_text(50, 450, 2.0) == ", 25.0/s, 0:18 left"
    assert pace_text(1, 999, 2.0) == ", 0.5/s, 33:18 left"
    assert pace_text(10, 0, 4.0) == ", 2.5/s"


def test_plain_lines_come_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress() as show:
        for done in range(6):
            show("x", done, 10)
    assert capsys.readouterr().err == "x: 0/10\nx: 3/10, 0.5/s, 0:14 left\n"


def test_silent(capsys):
    with Progress(silent=True) as show:
        show("x", 0, 1)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress() as show:
        for done in (0, 1, 2):
            show("blocks", done, 2)
            time.sleep(0.01)
    err = capsys.readouterr().err
    assert "blocks" in err
    assert "2/2" in err
    assert "/s" in err
