"""The runtimes of ONNX in which an integer model is checked when it is exported."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit.errors import P2vitError, first_line
from p2vit.export.onnx.common.model_file import LARGEST_SINGLE_FILE, constant_bytes, save_model
from p2vit.export.onnx.common.optional import onnx, onnxruntime, openvino, require
from p2vit.export.onnx.openvino_process import OpenVinoProcess
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS

#: Runs a model: names of outputs and pixels → the outputs.
Runner = Callable[[Sequence[str], IntArray], list[IntArray]]
#: Runtimes that an export can require; ``any`` requires none beside ONNX Runtime.
Target = Literal["any", "onnxruntime", "openvino"]
TARGETS: tuple[Target, ...] = get_args(Target)
#: Bytes of constants above which the reference evaluator, which takes minutes then, is left out of a check.
LARGEST_EVALUATED = 16 << 20


@dataclass(frozen=True)
class Runtime:
    """A runtime of ONNX.

    Attributes:
        title: Name for people.
        package: Distribution that holds it.
        open: Makes a runner from a model or the path of one, and a number of threads.
        images: Most images of a check, None for all.
    """

    title: str
    package: str
    open: Callable[[Any, int | None], Runner]
    images: int | None = None


def open_session(model: Any, *, threads: int | None = None) -> Any:
    """Open an ONNX Runtime session on the CPU. A model too large for one message goes through a temporary file.

    Args:
        model: A ``ModelProto``, or the path of a model file.
        threads: Number of threads within operators; None lets ONNX Runtime choose.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    return _opened(model, lambda source: runtime.InferenceSession(source, options, providers=providers))


def run_onnxruntime(model: Any, threads: int | None = None) -> Runner:
    """Make a runner of ONNX Runtime's CPU provider."""
    session = open_session(model, threads=threads)
    return lambda names, pixels: session.run(list(names), {PIXELS: np.ascontiguousarray(pixels)})


def run_openvino(model: Any, threads: int | None = None, precision: str | None = None) -> Runner:
    """Make a runner of OpenVINO's CPU plugin, in a process of its own.

    Args:
        model: A ``ModelProto``, or the path of a model file.
        threads: Number of threads; None lets OpenVINO choose.
        precision: INFERENCE_PRECISION_HINT. None keeps OpenVINO's default, which is bfloat16 on some CPUs; integer
            models do not depend on it.
    """
    if find_spec("openvino") is None:
        openvino()  # names what to install
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads} if threads else {}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    run: Runner = _opened(model, lambda source: OpenVinoProcess(source, options), in_memory=False)
    return run


def run_evaluator(model: Any, threads: int | None = None) -> Runner:
    """Make a runner of onnx's reference evaluator, which computes with NumPy, on one thread.

    Its ``GatherElements`` is limited to tables of 64 entries, so NumPy's ``take_along_axis`` stands in for that one.
    """
    op_run = require("onnx.reference.op_run", "onnx").OpRun

    class GatherElements(op_run):  # type: ignore[misc, valid-type]
        op_domain = ""

        def _run(self, data: Any, indices: Any, axis: int | None = None) -> tuple[Any]:
            return (np.take_along_axis(data, indices, axis=axis or 0),)

    evaluator = require("onnx.reference", "onnx").ReferenceEvaluator(
        onnx().load(str(model)) if isinstance(model, Path) else model, new_ops=[GatherElements]
    )
    return lambda names, pixels: evaluator.run(list(names), {PIXELS: np.ascontiguousarray(pixels)})


def _opened(model: Any, open_: Callable[[Any], Any], in_memory: bool = True) -> Any:
    if isinstance(model, str | Path):
        return open_(str(model))
    if in_memory and constant_bytes(model) <= LARGEST_SINGLE_FILE:
        return open_(model.SerializeToString())
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "model.onnx")
        return open_(str(Path(folder) / "model.onnx"))


RUNTIMES: dict[str, Runtime] = {
    "onnxruntime": Runtime("ONNX Runtime", "onnxruntime", run_onnxruntime),
    "openvino": Runtime("OpenVINO", "openvino", run_openvino),
    "onnx-reference": Runtime("onnx's reference evaluator", "onnx", run_evaluator, images=1),
}


def package_version(name: str) -> str | None:
    """Return the version of a runtime's package, or None if it is not installed."""
    try:
        return version(RUNTIMES[name].package)
    except PackageNotFoundError:
        return None


def expect_target(target: str) -> None:
    """Check that a required runtime exists and is installed.

    Raises:
        P2vitError: It does not, or is not.
    """
    if target not in TARGETS:
        raise P2vitError(f"target is {target!r}; allowed are {', '.join(TARGETS)}")
    if target != "any" and package_version(target) is None:
        raise P2vitError(
            f"target is {target!r}, but {RUNTIMES[target].title} is not installed, so nothing can be proved for it. "
            f"Install it: pip install 'p2vit[{'onnx' if target == 'onnxruntime' else target}]'; or omit target"
        )


def check_runtimes(
    file: Path, constants: int, pixels: IntArray, expected: dict[str, IntArray]
) -> list[dict[str, Any]]:
    """Run a written integer model in every runtime that is installed, and count the integers that differ.

    Args:
        file: The model.
        constants: Bytes of its constants.
        pixels: uint8 [B, H, W, 3].
        expected: Output of the model → the program's integers.

    Returns:
        One row per runtime: ``runtime``, ``version`` (None if not installed), ``images``, ``compared`` and ``differ``
        (numbers of integers), and ``reason`` if it was not run or failed. ``differ`` is None then.
    """
    rows = []
    for name, runtime in RUNTIMES.items():
        row: dict[str, Any] = {"runtime": name, "version": package_version(name), "images": 0, "compared": 0}
        row |= {"differ": None, "reason": ""}
        rows.append(row)
        if row["version"] is None:
            row["reason"] = "not installed"
            continue
        if name == "onnx-reference" and constants > LARGEST_EVALUATED:
            row["reason"] = f"left out above {LARGEST_EVALUATED >> 20} MiB of weights: it takes minutes"
            continue
        some = pixels[: runtime.images]
        try:
            found = runtime.open(file, None)(list(expected), some)
        except Exception as error:  # A runtime may raise anything; the others are still checked.
            row["reason"] = f"failed: {first_line(error)}"
            continue
        pairs = [(got, want[: len(some)]) for got, want in zip(found, expected.values(), strict=True)]
        row |= {
            "images": len(some),
            "compared": sum(want.size for _, want in pairs),
            "differ": sum(count_apart(got, want) for got, want in pairs),
        }
    return rows


def count_apart(got: IntArray, want: IntArray) -> int:
    """Return how many integers differ; all of them if the number or kind of integers does."""
    if got.size != want.size or got.dtype.kind not in "iu":
        return want.size
    return int((got.reshape(want.shape).astype(np.int64) != want.astype(np.int64)).sum())
