"""Programs of the digits model, which are quantized once per session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Return the folder of the digits program with a weight width, e.g. ``digits("w4a8")``."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from p2vit.cli.main import run

    made: dict[tuple[str, str], Path] = {}

    def make(bits: str = "w8a8", method: str = "p2vit") -> Path:
        if (bits, method) not in made:
            folder = tmp_path_factory.mktemp("digits") / "program"
            words = [
                "quantize",
                "digits",
                "--data",
                "digits",
                "--bits",
                bits,
                "--method",
                method,
                "-o",
                str(folder),
            ]
            assert run([*words, "--calib-images", "16", "-q"]) == 0
            made[bits, method] = folder
        return made[bits, method]

    return make
