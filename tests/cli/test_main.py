import subprocess
import sys

import click
import pytest

from p2vit import __version__
from p2vit.cli import main
from p2vit.errors import DataError


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_command_line_is_fast_and_takes_no_torch():
    # Processor time: a busy machine does not make it longer.
    code = (
        "import sys, time; start = time.process_time(); import p2vit, p2vit.cli.main; "
        "p2vit.cli.main.run(['--help']); seconds = time.process_time() - start; "
        "print('\\n', 'torch' in sys.modules, 'numpy' in sys.modules, seconds)"
    )
    torch, numpy, seconds = python(code).splitlines()[-1].split()
    assert (torch, numpy) == ("False", "False")
    assert float(seconds) < 0.3


def test_running_a_program_takes_no_torch():
    code = (
        "import sys; from p2vit.cli.verbs import run, audit, inspect, report, listing, verify, evaluate, "
        "doctor, quantize, demo, ablate; print('torch' in sys.modules)"
    )
    assert python(code) == "False"


def test_help_names_every_verb(p2vit):
    answer = p2vit("--help")
    assert answer.code == 0
    for verb in (
        "quantize",
        "eval",
        "audit",
        "inspect",
        "verify",
        "run",
        "report",
        "ablate",
        "list",
        "doctor",
        "demo",
    ):
        assert f"\n  {verb} " in answer.out


def test_version(p2vit):
    assert __version__ in p2vit("--version").out


def test_no_verb_shows_help_and_exits_with_2(p2vit):
    answer = p2vit()
    assert answer.code == 2
    assert "Usage" in answer.err + answer.out


def test_unknown_verb(p2vit):
    answer = p2vit("quantise", "digits")
    assert answer.code == 2
    assert "no verb 'quantise'. Did you mean 'quantize'? Verbs: demo, quantize" in answer.err


def test_unknown_option(p2vit):
    answer = p2vit("audit", "x", "--jsn")
    assert answer.code == 2
    assert "--jsn" in answer.err
    assert "See: p2vit audit --help" in answer.err


@pytest.mark.parametrize("verb", [verb for verb in main.VERBS if verb in main.cli.list_commands(None)])
def test_every_verb_has_help_and_takes_json(p2vit, verb):
    command = main.cli.get_command(None, verb)
    assert isinstance(command, click.Command)
    assert command.help
    assert "--json" in {name for parameter in command.params for name in parameter.opts}
    assert p2vit(verb, "--help").code == 0


def failing(error):
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json):
        raise error

    return command


@pytest.fixture
def broken(monkeypatch):
    def install(error):
        monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: failing(error))

    return install


def test_users_errors_exit_with_2_and_are_json_too(p2vit, broken):
    broken(DataError("x.png: no photo"))
    answer = p2vit("audit", "--json")
    assert answer.code == 2
    assert answer.err == "error: x.png: no photo\n"
    assert answer.json == {"error": "x.png: no photo"}


def test_files_that_cannot_be_opened(p2vit, broken):
    broken(PermissionError(13, "Permission denied", "out/x"))
    answer = p2vit("audit")
    assert (answer.code, answer.err) == (2, "error: out/x: Permission denied\n")


def test_a_defect_says_so_without_a_traceback(p2vit, broken):
    broken(ZeroDivisionError("division by zero"))
    answer = p2vit("audit")
    assert answer.code == main.DEFECT
    assert "this is a defect of p2vit" in answer.err
    assert "please report it (ZeroDivisionError: division by zero); --debug shows where" in answer.err


def test_debug_shows_the_traceback(broken, capsys):
    broken(ZeroDivisionError("division by zero"))
    assert main.run(["audit", "--debug"]) == main.DEFECT
    assert "Traceback" in capsys.readouterr().err


def test_interrupted(p2vit, broken):
    broken(KeyboardInterrupt())
    answer = p2vit("audit")
    assert (answer.code, answer.out, answer.err.strip()) == (main.INTERRUPTED, "", "stopped")
    assert p2vit("audit", "--json").json == {"error": "stopped"}


@pytest.mark.parametrize("verb", [verb for verb in main.VERBS if verb in main.cli.list_commands(None)])
def test_every_verb_can_be_quiet(verb):
    command = main.cli.get_command(None, verb)
    assert {"-q", "--quiet"} <= {name for parameter in command.params for name in parameter.opts}
