"""Hardware against its golden: every field of every beat, timing, protocol, and a second simulator."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from p2vit.hdl.icarus import run_icarus
from p2vit.hdl.simulate import ModuleSimulation

#: (stall of the inputs, stall of the outputs)
STALLS = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.5, 0.5), (0.05, 0.9))


def mismatches(module, inputs, expected, found) -> int:
    """Numbers that differ, over all output fields where they are specified."""
    wrong = 0
    for stream, fields in expected.items():
        for name, want in fields.items():
            got = found[stream][name].reshape(len(found[stream][name]), -1)
            want = np.asarray(want).reshape(got.shape)
            where = module.specified(stream, name, expected)
            if where is not None:
                got, want = got[where], want[where]
            wrong += int((got != want).sum())
    return wrong


def check(module, beats: int, seed: int = 0, stalls=STALLS, icarus: int = 0) -> int:
    """Run a module on samples with every pair of stalls; all beats must be right.

    Returns:
        Input beats that were sent in all.
    """
    simulation = ModuleSimulation(module, module.key)
    ports = {port.name: port.is_input for port in simulation.ports}
    sent = compared = 0
    for number, (stall_in, stall_out) in enumerate(stalls):
        inputs = module.sample(np.random.default_rng((seed, number)), max(1, beats // len(stalls)))
        expected = module.compute(inputs)
        counts = {stream: len(next(iter(fields.values()))) for stream, fields in expected.items()}
        chances = {name: stall_in if is_input else stall_out for name, is_input in ports.items()}
        run = simulation.run(inputs, counts, seed=seed + number, stall=chances)
        assert (run.unstable, run.surplus) == (0, 0), module.key
        assert mismatches(module, inputs, expected, run.outputs) == 0, (module.key, stall_in, stall_out)
        sent += sum(len(next(iter(fields.values()))) for fields in inputs.values())
        compared += sum(np.asarray(field).size for fields in expected.values() for field in fields.values())
    log(module, "Verilator", sent, compared)
    if icarus and need_icarus():
        inputs = module.sample(np.random.default_rng((seed, 99)), icarus)
        expected = module.compute(inputs)
        counts = {stream: len(next(iter(fields.values()))) for stream, fields in expected.items()}
        found = run_icarus(module, module.key, inputs, counts, seed=seed, stall=0.3)
        assert mismatches(module, inputs, expected, found) == 0, f"{module.key} in Icarus"
        beats = sum(len(next(iter(fields.values()))) for fields in inputs.values())
        compared = sum(np.asarray(field).size for fields in expected.values() for field in fields.values())
        log(module, "Icarus Verilog", beats, compared)
    return sent


def log(module, simulator: str, beats: int, numbers: int) -> None:
    """Note a run without mismatches in the file that ``make rtl-nightly`` asks for."""
    if path := os.environ.get("P2VIT_RTL_LOG"):
        row = {
            "module": module.key,
            "simulator": simulator,
            "input_beats": beats,
            "numbers_compared": numbers,
        }
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "mismatches": 0}) + "\n")


def need_icarus() -> bool:
    """Skip where the second simulator cannot be had."""
    if not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog is not installed (apt-get install iverilog)")
    return True


def check_streaming_time(module, beats: int = 50) -> None:
    """One beat in and one out per cycle, ``timing.latency`` apart, where nothing stalls."""
    simulation = ModuleSimulation(module, module.key)
    inputs = module.sample(np.random.default_rng(1), beats)
    expected = module.compute(inputs)
    counts = {stream: len(next(iter(fields.values()))) for stream, fields in expected.items()}
    run = simulation.run(inputs, counts)
    assert (np.diff(run.moved["i"]) == module.timing.interval).all()
    assert (run.moved["o"] - run.moved["i"] == module.timing.latency).all()
