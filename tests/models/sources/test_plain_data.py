"""Plain data in a checkpoint is read; code never runs, whatever a file asks for."""

import builtins
import os
import subprocess
import sys

import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.sources.plain_data import StandIn, forbidden
from p2vit.models.sources.weight_file import read_file

RAN = []


def run_me(*arguments):
    """What a file would have run."""
    RAN.append(arguments)
    return {"a": torch.zeros(2)}


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Builds:
    """Its own code would run when it is read."""

    def __init__(self):
        self.value = torch.ones(2)

    def __setstate__(self, state):
        RAN.append(state)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        Calls(os.system, "touch ran"),
        Calls(subprocess.check_output, ["touch", "ran"]),
        Calls(builtins.eval, "open('ran', 'w')"),
        Calls(builtins.exec, "open('ran', 'w')"),
        Calls(builtins.getattr, "a", "b"),
        Calls(__import__, "antigravity"),
    ],
    ids=lambda call: call.call[0].__name__,
)
def test_whatever_asks_for_a_command_is_refused_by_name(tmp_path, monkeypatch, call, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"a": torch.zeros(2)}, "x": call}, "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelError, match=r"loading the file would run \S+, so it is refused.*state_dict"
    ) as caught:
        read_file(tmp_path / "a.pth")
    assert "\x1b" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_other_calls_and_classes_are_left_unread(tmp_path, zipped):
    saved = {"model": {"a": torch.zeros(2)}, "x": Calls(run_me, 1), "y": Builds()}
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    RAN.clear()
    content = read_file(tmp_path / "a.pth")
    assert not RAN
    assert content.value["model"]["a"].tolist() == [0, 0]
    assert isinstance(content.value["x"], StandIn)
    assert sorted(name.rpartition(".")[2] for name in content.unread) == ["Builds", "run_me"]


def test_nothing_is_imported_for_a_stand_in(tmp_path):
    code = (
        "import sys, torch\n"
        "from p2vit.models.sources.weight_file import read_file\n"
        "from pathlib import Path\n"
        "content = read_file(Path(sys.argv[1]))\n"
        "print('this' in sys.modules, content.unread)\n"
    )
    torch.save(
        {"a": torch.zeros(1), "x": Calls(run_me)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False
    )
    data = (tmp_path / "a.pth").read_bytes().replace(run_me.__module__.encode(), b"this")
    (tmp_path / "b.pth").write_bytes(data)
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "b.pth"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == "False"
    assert "this.run_me" in told.stdout


@pytest.mark.parametrize(
    ("name", "is_forbidden"),
    [
        ("posix.system", True),
        ("builtins.eval", True),
        ("__builtin__.eval", True),
        ("subprocess.Popen", True),
        ("commands.check_output", True),
        ("importlib.import_module", True),
        ("builtins.list", False),
        ("omegaconf.dictconfig.DictConfig", False),
        ("posixpath.join", False),
    ],
)
def test_forbidden_names(name, is_forbidden):
    assert forbidden(name) is is_forbidden
