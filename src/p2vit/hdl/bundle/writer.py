"""Writes a bundle: Verilog, memory image, expected tensors, test bench, Makefile, README and manifest."""

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.files import FileSet, kind_of
from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.timing import cycles_per_node, rtl_timing
from p2vit.hdl.top.descriptor import DESCRIPTOR_BYTES
from p2vit.hdl.top.machine import MAX_READS, MEMORY_LATENCY
from p2vit.hdl.top.verilog import TOP, VERILATOR_CONFIG, accelerator_verilog
from p2vit.numerics.rounding import IntArray
from p2vit.program.format import program_sha256

MANIFEST = "manifest.json"
_BENCH = ("bench.v", "clock.v", "main.cpp", "lint.vlt")


def hex_words(words: IntArray) -> str:
    """Format words for ``$readmemh``. Byte 0 is the lowest byte, so it comes last in each line.

    Args:
        words: uint8 [n, bytes].
    """
    lines = np.ascontiguousarray(words[:, ::-1])
    return "".join(f"{line}\n" for line in lines.tobytes().hex("\n", words.shape[1]).split("\n") if line)


def expected_memory(compiled: CompiledProgram, executor: Executor, pixels: IntArray) -> IntArray:
    """Compute the expected contents of the tensors' memory words after a run, with another executor.

    Args:
        compiled: Compiled program, with the layout of each tensor.
        executor: Reference, or another executor that returns every tensor.
        pixels: uint8 [H, W, 3].

    Returns:
        uint8 [words of all tensors, lines]; bytes of lines without a row are zero.
    """
    names = [node.name for node in compiled.program.nodes]
    tensors = executor.run(pixels[None], keep=names)
    memory = np.zeros((len(compiled.image) - compiled.constant_words, compiled.machine.lines), np.uint8)
    for name in names:
        layout = compiled.layouts[name]
        memory[layout.base : layout.base + layout.words] = layout.encode(
            compiled.matrices(tensors[name][0], name)
        )
    return memory


def write_bundle(
    compiled: CompiledProgram, executor: Executor, pixels: IntArray, folder: Path, overwrite: bool = False
) -> dict[str, Any]:
    """Write a bundle.

    Args:
        compiled: Compiled program and its machine.
        executor: Executor that computes the expected tensors.
        pixels: Photo to run, uint8 [H, W, 3].
        folder: Folder to write; it must be empty or hold an earlier bundle.
        overwrite: Replace an earlier bundle.

    Returns:
        Manifest. The same inputs give the same bytes in every file.

    Raises:
        P2vitError: The folder is in use, or a file cannot be written.
        MissingPackageError: Amaranth or pyosys is not installed.
    """
    target = bundle_place(folder, overwrite)
    target.check()
    machine, program = compiled.machine, compiled.program
    verilog = accelerator_verilog(machine)
    timing = rtl_timing(compiled)
    tensor_words = len(compiled.image) - compiled.constant_words
    photo = compiled.memory_for(pixels)
    end = compiled.pixels + -(-pixels.size // machine.lines)
    rows = [
        [p.base, p.groups, p.stack, p.columns * p.bytes_each, p.stride, p.first_row, p.rows]
        for p in compiled.layouts.values()
    ]
    descriptors = np.frombuffer(compiled.stream, np.uint8).reshape(-1, DESCRIPTOR_BYTES)
    values = {
        "LINES": machine.lines,
        "LATENCY": MEMORY_LATENCY,
        "WORDS": len(compiled.image),
        "TENSOR_WORDS": tensor_words,
        "DESCRIPTORS": len(descriptors),
        "TENSORS": len(rows),
        "PIXELS": compiled.pixels,
        "PIXELS_END": end - 1,
        "CYCLES": timing.cycles,
        "MAX_READS": MAX_READS,
        "LONGEST_RUN": max(span.end - span.start for span in timing.spans),
        "BUSY": timing.array_busy,
        "PROGRAM": program_sha256(program),
        "MACHINE": ", ".join(f"{key} {value}" for key, value in machine.as_dict().items()),
    }
    files = {f"rtl/{name}": text for name, text in verilog.items()}
    files |= {f"bench/{name}": _filled(name, values) for name in _BENCH}
    files |= {
        "bench/repeated.vlt": VERILATOR_CONFIG,
        "Makefile": _filled("Makefile", values),
        "README.md": _filled("README.md", values),
        "data/descriptors.hex": hex_words(descriptors),
        "data/constants.hex": hex_words(compiled.image[tensor_words:]),
        "data/pixels.hex": hex_words(photo[compiled.pixels : end]),
        "data/expected.hex": hex_words(expected_memory(compiled, executor, pixels)),
        "data/places.hex": "".join(f"{number:08x}\n" for row in rows for number in row),
    }
    manifest = {
        "format": 1,
        "top": TOP,
        "machine": machine.as_dict(),
        "program_sha256": values["PROGRAM"],
        "modules": [
            {"name": name.removesuffix(".v"), "file": f"rtl/{name}", "lines": text.count("\n")}
            for name, text in verilog.items()
        ],
        "memory": {
            "words": len(compiled.image),
            "bytes_per_word": machine.lines,
            "tensor_words": tensor_words,
            "pixels": compiled.pixels,
        },
        "descriptors": len(descriptors),
        "cycles": timing.cycles,
        "array_busy": timing.array_busy,
        "memory_latency": MEMORY_LATENCY,
        "layers": cycles_per_node(compiled.stores, timing.store_cycles),
        "tensors": {
            name: {
                **layout.__dict__,
                "words": layout.words,
                "shape": list(program.tensors[name].shape),
                "signed": program.tensors[name].signed,
            }
            for name, layout in compiled.layouts.items()
        },
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    files[MANIFEST] = json.dumps(manifest, indent=1) + "\n"
    target.write(files)
    return manifest


def bundle_place(folder: Path, overwrite: bool) -> FileSet:
    """Return the set of files that a bundle may write.

    Raises:
        P2vitError: No folder can be made at that path.
    """
    return FileSet.filling(folder, "rtl", overwrite, _older)


def _older(folder: Path) -> list[str]:
    """List the files of a bundle that has no file record, from the hashes in its manifest."""
    if kind_of(folder / MANIFEST) != "file":
        return []
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if listed["top"] != TOP:
            return []
        return [MANIFEST, *(name for name, digest in listed["files"].items() if _is(folder / name, digest))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _is(path: Path, digest: str) -> bool:
    """Return whether a file exists and has that SHA-256."""
    return kind_of(path) == "file" and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _filled(name: str, values: dict[str, Any]) -> str:
    """Return a template file of the package with every ``@NAME@`` replaced by its value."""
    text = resources.files("p2vit.hdl.bundle").joinpath("files", name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text
