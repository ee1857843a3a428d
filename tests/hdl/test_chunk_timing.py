import json

import pytest

from p2vit.accel.chunks.costs import CHUNKS
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.program import program_workload
from p2vit.cli.main import run
from p2vit.hdl.chunk_timing import chunk_timing
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.timing import cycles_per_node, rtl_timing
from p2vit.hdl.top.machine import MACHINES
from p2vit.program.format import load, save
from support.rtl_programs import program


@pytest.mark.parametrize("name", ["linear", "log2", "mean"])
def test_cycles_add_up_for_every_chunk_and_are_the_rtls(name):
    whole = program(name)
    compiled = compile_program(whole, MACHINES["rtl"])
    exact = rtl_timing(compiled)
    found = simulate(
        program_workload(name, whole),
        load_machine("rtl"),
        "descriptors",
        lambda plan: chunk_timing(compiled, plan),
    )
    timing = found.timing
    assert timing.cycles == exact.cycles == found.result.cycles
    for chunk in CHUNKS:
        assert timing.busy.get(chunk, 0) + sum(timing.stalls[chunk].values()) == timing.cycles
    assert sum(map(sum, timing.operation_cycles)) == timing.cycles
    own = cycles_per_node(compiled.stores, exact.store_cycles)
    assert all(layer.cycles == own[layer.name] for layer in found.result.layers[:-1])
    reasons = {reason.split(":")[0] for stalls in timing.stalls.values() for reason in stalls}
    assert "load" in reasons


def test_simulate_says_the_rtls_cycles(tmp_path, capsys):
    folder = tmp_path / "program"
    save(program("linear"), folder)
    trace = tmp_path / "trace.json"
    assert (
        run(
            [
                "simulate",
                str(folder),
                "--hw",
                "rtl",
                "--method",
                "descriptors",
                "--trace",
                str(trace),
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "descriptors"
    assert found["cycles"] == rtl_timing(compile_program(load(folder), MACHINES["rtl"])).cycles
    assert json.loads(trace.read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deit_tiny_patch16_224", "--hw", "rtl"], "needs a program: the folder that p2vit quantize wrote"),
        (["PROGRAM", "--hw", "edge"], "needs an accelerator that exists as RTL: --hw rtl"),
        (["PROGRAM", "--hw", "rtl", "--no-inter-layer"], "--inter-layer and --intra-layer do not apply"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path, capsys, words, message):
    save(program("linear"), tmp_path / "p")
    arguments = [str(tmp_path / "p") if word == "PROGRAM" else word for word in words]
    assert run(["simulate", *arguments, "--method", "descriptors"]) == 2
    assert message in capsys.readouterr().err
