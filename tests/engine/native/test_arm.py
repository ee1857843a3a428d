"""The engine built for 64-bit Arm, under emulation: where a cross compiler and an emulator are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("aarch64-linux-gnu-g++", "qemu-aarch64", "cmake")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
]


def test_every_tensor_on_every_arm_instruction_set():
    done = subprocess.run(
        ["sh", "scripts/arm.sh", sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "instruction sets: i8mm dotprod scalar" in done.stdout
    assert "instruction sets: dotprod scalar" in done.stdout
    assert done.stdout.count(" 0 bytes differ") == 3
    # A recording with one wrong byte is noticed.
    plans = ROOT / "build" / "arm" / "plans"
    content = bytearray((plans / "plain-whole.plan").read_bytes())
    content[-1] ^= 1
    wrong = plans / "wrong.plan"
    wrong.write_bytes(content)
    command = ["qemu-aarch64", "-cpu", "max", ROOT / "build" / "arm" / "p2vit_replay", wrong]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    wrong.unlink()
    assert found.returncode == 1
    assert "head: 1 of " in found.stdout
