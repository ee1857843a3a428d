"""Writes down what the native engine is told to do for a program, with the reference's integers, so that a C++ program
without Python (``replay.cpp``) does the same and compares: on machines that are only emulated here.

    python tests/engine/replay/recorder.py build/arm/plans

File: little-endian, one value after the other. A value is one byte that says its kind, then ``i`` int64; ``s`` uint32
length and bytes; ``l`` uint32 count and values; ``a`` one byte dtype code, one byte rank, uint32 sides and the
array in C order; ``0`` nothing. A file is a list of calls; a call is a list of its name and arguments.
"""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.native.plan import PlanBuilder
from p2vit.engine.native.selftest import cases
from p2vit.engine.native.weights import Weights
from p2vit.engine.reference import ReferenceExecutor
from p2vit.program.graph import IntegerProgram

DTYPES = {"uint8": b"B", "int8": b"b", "uint16": b"H", "int16": b"h", "int32": b"i"}
#: Keywords of the plan's calls, in the order in which a recording has them after the positional arguments.
_SOFTMAX = ("heads", "dim", "count", "softmax_shift", "out_shift", "log2", "guard", "out_bits")
_PACK = ("column", "heads", "dim", "keys", "out")
KEYWORDS = {
    "linear": ("out_row_offset", "table", "residual"),
    "layernorm": (
        *("input_shift", "table", "shift", "input_bits", "out_bits"),
        *("epsilon", "epsilon_shift", "squares_shift"),
    ),
    "pack_keys": _PACK,
    "pack_values": _PACK,
    "attention": ("queries", "keys", "values", "out", *_SOFTMAX, "scores_output", "codes_output"),
    "window_attention": (
        *("queries", "keys", "values", "out", "windows", *_SOFTMAX, "bias", "regions", "masked"),
        *("scores_output", "biased_output", "codes_output"),
    ),
    "add": ("left_a", "left_b", "shift"),
    "affine": ("gain", "bias", "shift"),
    "rotary": ("pairs", "cosine", "sine", "shift"),
    "multiply": ("offset", "shift"),
    "token_sum": ("first", "count", "shift"),
    "export": ("column", "columns", "output"),
}
DEFAULTS = {"out_row_offset": 0, "table": None, "residual": None}
RESIDUAL = ("buffer", "constant", "left_own", "left_residual", "shift", "out_bits")


def value(item: Any) -> bytes:
    """Format one value of the file."""
    match item:
        case None:
            return b"0"
        case bool() | int() | np.integer():
            return b"i" + struct.pack("<q", int(item))
        case str():
            return b"s" + struct.pack("<I", len(item.encode())) + item.encode()
        case np.ndarray():
            sides = struct.pack(f"<BB{item.ndim}I", DTYPES[item.dtype.name][0], item.ndim, *item.shape)
            return b"a" + sides + np.ascontiguousarray(item).tobytes()
        case list() | tuple():
            return b"l" + struct.pack("<I", len(item)) + b"".join(map(value, item))
        case dict():  # a residual
            return value([item.get(key) for key in RESIDUAL])
    raise TypeError(f"{type(item).__name__} cannot be written")


class Packed(int):
    """Represents packed weights by the number of the call that made them."""


class Recorder:
    """Has the interface of the compiled module and of its plan, and records every call."""

    ANSWERS = ("buffer", "packed_keys", "packed_values", "output")

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.packs, self.buffers, self.outputs = 0, 0, 0

    def fits_int32(self, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray) -> bool:
        """Return what the compiled part would return."""
        reach = np.abs(weight.astype(np.int64)).sum(axis=1) * 128 + np.abs(bias.astype(np.int64))
        return bool((shift >= 0).all() and (reach + (1 << 30) < 1 << 31).all())

    def pack(self, parts: list[tuple], bits: int, nibbles: bool) -> Packed:
        """Record the packing of layers side by side."""
        self.calls.append(["pack", *parts, bits, nibbles])
        self.packs += 1
        return Packed(self.packs - 1)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> int:
            if name == "linear":
                nodes, packed, source, out = arguments
                arguments = (nodes, int(packed), source, out)
            named = {
                key: named.pop(key) if key in named else DEFAULTS[key] for key in KEYWORDS.get(name, ())
            } | named
            if set(named) != set(KEYWORDS.get(name, ())):
                raise TypeError(f"{name} has keywords that a recording does not: {sorted(named)}")
            self.calls.append([name, *arguments, *named.values()])
            if name == "output":
                self.outputs += 1
                return self.outputs - 1
            self.buffers += name in self.ANSWERS
            return self.buffers - 1

        return call


def record(program: IntegerProgram, pixels: np.ndarray, keep: list[str]) -> bytes:
    """Record a program's plan, pixels and expected outputs."""
    recorder = Recorder()
    wanted = frozenset({*keep, program.output, program.feature})
    builder = PlanBuilder(program, wanted, recorder, Weights(recorder, program))
    builder.build()
    expected = ReferenceExecutor(program).run(pixels, keep)
    outputs = [expected[spec.name].reshape(len(pixels), -1) for spec in builder.outputs]
    names = [spec.name for spec in builder.outputs]
    head = ["program", *program.pixels.shape]
    return value([head, *recorder.calls, ["expect", pixels, names, *outputs]])


def programs() -> dict[str, tuple[IntegerProgram, np.ndarray]]:
    """Return name → program and pixels: the self-test's cases and the shapes of ``native/test_executor.py``."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from engine.native.test_executor import PROGRAMS
    from support.programs import WINDOWED, random_pixels, random_program, windowed_program

    found = {f"selftest-{name}": (program, pixels) for name, program, pixels, _ in cases()}
    # As many tokens as a real model has, and a head of real width.
    tiny = {"image": (224, 224), "patch": 16, "dim": 192, "heads": 3, "mlp": 768, "depth": 1, "classes": 100}
    for name, options in {**PROGRAMS, "DeiT-T": tiny, "DeiT-T W4": {**tiny, "weight_bits": 4}}.items():
        program = random_program(**options, seed=len(name))
        pixels = random_pixels(program, 3)
        pixels[0] = 255
        found[name] = (program, pixels)
    for number, options in enumerate(WINDOWED):
        program = windowed_program(**options)  # type: ignore[arg-type]
        found[f"windows-{number}"] = (program, random_pixels(program, 3))
    return found


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (program, pixels) in programs().items():
        nodes = [node.name for node in program.nodes]
        for kind, keep in (("whole", nodes), ("fused", [])):
            file = folder / f"{name.replace(' ', '-').replace(',', '')}-{kind}.plan"
            file.write_bytes(record(program, pixels, keep))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
