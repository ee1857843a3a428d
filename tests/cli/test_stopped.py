"""The command stopped from outside: its reader goes away, or Ctrl-C comes while it is still importing."""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

VERBS = [
    ["--help"],
    ["list", "--help"],
    ["list"],
    ["list", "--json"],
    ["compare", "deit_base_patch16_224"],
    ["reproduce", "--json"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_reader_that_goes_away_is_no_failed_check(verb):
    command = subprocess.Popen(
        [sys.executable, "-m", "p2vit", *verb], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    command.stdout.close()
    err = command.stderr.read()
    assert (command.wait(), "Traceback" in err, "Exception" in err) == (0, False, False)


@pytest.mark.parametrize("module", ["click", "p2vit.cli.main", "p2vit.cli.shared.terminal"])
@pytest.mark.parametrize("options", [["--json"], []])
def test_ctrl_c_while_importing(module, options):
    code = (
        "import importlib.abc, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it\n"
        "class Stop(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"sys.argv = ['p2vit', 'list', *{options!r}]\n"
        "from p2vit.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "stopped\n"
    assert (json.loads(done.stdout) if options else done.stdout) == ({"error": "stopped"} if options else "")


def test_the_installed_command_begins_where_that_is_caught():
    project = Path(__file__).parents[2] / "pyproject.toml"
    scripts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"p2vit": "p2vit.__main__:main"}
