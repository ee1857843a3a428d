"""Runtimes beside ONNX Runtime: what OpenVINO and onnx's evaluator return, and what an export tells about them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from conformance.cases import Bench
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx import runtimes
from p2vit.export.onnx.executor import OpenVinoExecutor
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.runtimes import RUNTIMES, check_runtimes, expect_target
from p2vit.export.run import ExportForm, noise_pixels, run_export
from p2vit.numerics import Linear, SumTokens
from p2vit.program.graph import PIXELS
from support.programs import random_pixels, random_program, windowed_program

INSTALLED = [name for name in RUNTIMES if runtimes.package_version(name)]
#: OpenVINO takes seconds to compile each; the conformance table has a row of it for every operator.
QUICK = [pytest.param(name, marks=pytest.mark.extended) if name == "openvino" else name for name in INSTALLED]


def tensors(program, pixels, runtime):
    """Name → mismatches, over every tensor of the program, in a runtime."""
    names = [node.name for node in program.nodes]
    found = RUNTIMES[runtime].start(build_onnx_integer(program, expose=names), 1)(names, pixels)
    want = ReferenceExecutor(program).run(pixels, names)
    apart = {name: int((got != want[name]).sum()) for name, got in zip(names, found, strict=True)}
    assert all(got.dtype == want[name].dtype for name, got in zip(names, found, strict=True))
    return {name: count for name, count in apart.items() if count}


def long_linear(bench):
    """Sums of products up to 1600 · 128 · 128 with biases near the ends of int32."""
    for bits, shift in ((8, 18), (16, 9), (32, 0)):
        for depth in (1600, 1025, 1024):
            weight = np.full((3, depth), -128)
            weight[1] = bench.rng.integers(100, 128, depth)
            weight[2] = bench.rng.integers(-128, -100, depth)
            x = np.stack([np.full(depth, -128), bench.rng.integers(-128, -101, depth)]).astype(np.int8)
            x[1, ::2] += 1
            for bias in (0, 2_000_000_001, -2_000_000_001):
                operator = Linear(weight, np.array([bias, bias - 3, bias + 5]), np.full(3, shift), 8, bits)
                bench.add(operator, bench.feed(x))


def long_attention(bench):
    """Scores of more than 2^24, and values of more keys than float32 sums exactly."""
    for form in ("linear", "log2"):
        bench.attention(3, 1, 1100, form=form, fill="low")
        bench.attention(3, 1, 1100, form=form, fill="random")
        scores = bench.rng.integers(-9, 1, (1, 700, 700))
        bench.attention(700, 1, 2, form=form, fill="high", scores=scores, shift=np.array([-8, -9], np.int8))


def long_sums(bench):
    """More tokens than float32 sums exactly, and no rounding after the sum."""
    for tokens in (700, 1):
        for dtype in (np.int8, np.int16):
            x = bench.filled((tokens + 1, 9), "random", dtype)
            bench.add(SumTokens(1, tokens, np.array([0], np.int8), 16), x)
            bench.add(SumTokens(0, tokens + 1, np.array([11], np.int8), 16), x)


@pytest.mark.parametrize("runtime", QUICK)
@pytest.mark.parametrize("build", [long_linear, long_attention, long_sums])
def test_sums_that_float32_does_not_hold(build, runtime):
    bench = Bench(0)
    build(bench)
    program = bench.program()
    assert tensors(program, np.zeros((3, 1, 1, 3), np.uint8), runtime) == {}


@pytest.mark.parametrize("runtime", QUICK)
@pytest.mark.parametrize(
    "program",
    [random_program(form="log2", weight_bits=4), random_program(pool="avg", prefix=0), windowed_program()],
    ids=["log2 w4", "mean", "windows"],
)
def test_whole_programs(program, runtime):
    assert tensors(program, random_pixels(program, 3), runtime) == {}


def test_the_executor_of_openvino():
    pytest.importorskip("openvino")
    program = random_program()
    pixels = random_pixels(program, 2)
    executor = OpenVinoExecutor(program, threads=1)
    assert executor.name == "openvino"
    np.testing.assert_array_equal(executor.logits(pixels), ReferenceExecutor(program).logits(pixels))
    with pytest.raises(P2vitError, match=r"^products is 'fast'; allowed are 'portable' and 'vnni'$"):
        OpenVinoExecutor(program, products="fast")


def test_an_export_tells_what_was_proved_in_each_runtime(tmp_path):
    program = random_program()
    pixels = noise_pixels(program, 2)
    report = run_export(program, "onnx-integer", tmp_path / "model.onnx", pixels=pixels)
    rows = {row["runtime"]: row for row in report["runtimes"]}
    assert list(rows) == ["onnxruntime", "openvino", "onnx-reference"]
    for name in INSTALLED:
        images = RUNTIMES[name].images or 2
        assert rows[name]["differ"] == 0
        assert (rows[name]["images"], rows[name]["compared"]) == (images, images * 5)
        assert rows[name]["version"] == runtimes.package_version(name)


def test_differences_failures_and_missing_runtimes_are_told(tmp_path, monkeypatch):
    program = random_program()
    pixels = noise_pixels(program, 2)
    file = tmp_path / "model.onnx"
    file.write_bytes(build_onnx_integer(program).SerializeToString())
    wrong = ReferenceExecutor(program).logits(pixels)
    wrong[1, 2] += 1

    def broken(model, threads):
        raise RuntimeError("no such instruction\nand more")

    monkeypatch.setitem(RUNTIMES, "openvino", runtimes.Runtime("OpenVINO", "onnx", broken))
    monkeypatch.setitem(RUNTIMES, "onnx-reference", runtimes.Runtime("", "no-such-package", broken))
    first, second, third = check_runtimes(file, 0, pixels, {LOGITS: wrong})
    assert (first["differ"], first["compared"], first["reason"]) == (1, 10, "")
    assert (second["differ"], second["reason"]) == (None, "failed: no such instruction")
    assert (third["version"], third["reason"]) == (None, "not installed")


def test_a_target_must_exist_and_be_installed(tmp_path, monkeypatch):
    with pytest.raises(P2vitError, match=r"^target is 'tpu'; allowed are any, onnxruntime, openvino$"):
        expect_target("tpu")
    monkeypatch.setitem(RUNTIMES, "openvino", runtimes.Runtime("OpenVINO", "no-such-package", None))
    program = random_program()
    with pytest.raises(
        P2vitError, match=r"OpenVINO is not installed, so nothing can be proved for it\. Install"
    ):
        run_export(
            program,
            "onnx-integer",
            tmp_path / "model.onnx",
            ExportForm(target="openvino"),
            pixels=noise_pixels(program, 1),
        )
    assert not list(tmp_path.iterdir())


def test_pixels_reach_openvino_as_they_are():
    """A slice of an array is not contiguous, which OpenVINO would read wrongly."""
    pytest.importorskip("openvino")
    program = random_program()
    pixels = random_pixels(program, 4)[::2]
    want = ReferenceExecutor(program).logits(pixels)
    (found,) = RUNTIMES["openvino"].start(build_onnx_integer(program), 1)([LOGITS], pixels)
    np.testing.assert_array_equal(found, want)
    assert PIXELS == "pixels"


@pytest.mark.extended
def test_openvino_runs_in_a_process_of_its_own():
    """In the process of torch it made torch crash; a model that it does not take is an error, and so is its end."""
    pytest.importorskip("openvino")
    code = (
        "import sys; from p2vit.export.onnx.executor import OpenVinoExecutor; "
        "from support.programs import random_pixels, random_program; p = random_program(); "
        "OpenVinoExecutor(p).logits(random_pixels(p, 1)); print('openvino' in sys.modules)"
    )
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": tests}
    )
    assert done.stdout.strip() == "False", done.stderr
    with pytest.raises(P2vitError, match=r"^OpenVINO: "):
        RUNTIMES["openvino"].start("/no/such/model.onnx", None)
    run = RUNTIMES["openvino"].start(build_onnx_integer(random_program()), None)
    run._process.kill()
    with pytest.raises(P2vitError, match=r"^OpenVINO's process ended with status -9$"):
        run([LOGITS], random_pixels(random_program(), 1))
