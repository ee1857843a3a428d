"""A command line that runs in this process, and a program made once."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2vit.cli.main import run as run_command


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The one object on stdout; fails when there is anything else."""
        return json.loads(self.out)


@pytest.fixture
def p2vit(capsys):
    """Run a command line: ``p2vit("eval", folder, "--data", "digits")``."""

    def command(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Answer(code, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def digits_program(tmp_path_factory) -> Path:
    """``p2vit quantize digits``, once."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits") / "program"
    arguments = ["quantize", "digits", "--data", "digits", "-o", folder, "--calib-images", 16, "-q"]
    assert run_command([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> Path:
    """Ten classes named as the digits' are, two random photos each."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in range(10):
        (folder / str(name)).mkdir()
        for index in range(2):
            pixels = rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / str(name) / f"{index}.png")
    return folder
