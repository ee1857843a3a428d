"""What the export tests share: programs whose tables and exponents mean something, and ways to compare."""

import math

import numpy as np

from p2vit.bench import programs
from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.onnx.integer.build import build_onnx_integer
from p2vit.export.onnx.runtimes import open_session
from p2vit.program.graph import PIXELS, IntegerProgram
from support.programs import random_program


def meaningful_program(function: str = "gelu", offset: int = 0, **options) -> IntegerProgram:
    """:func:`p2vit.bench.programs.meaningful_program` of a random program."""
    return programs.meaningful_program(random_program(**options), function, offset)


def sqnr_db(exact: np.ndarray, approximate: np.ndarray) -> float:
    """Signal to noise in dB."""
    return 10 * math.log10(float((exact**2).sum()) / max(float(((exact - approximate) ** 2).sum()), 1e-300))


def mismatches(program: IntegerProgram, pixels: np.ndarray, **options) -> dict[str, int]:
    """Name → numbers that differ, over every tensor of the program."""
    names = [name for name in program.tensors if name != PIXELS]
    session = open_session(build_onnx_integer(program, expose=names, **options), threads=1)
    computed = dict(zip(names, session.run(names, {PIXELS: pixels}), strict=True))
    expected = ReferenceExecutor(program).run(pixels, names)
    found = {}
    for name in names:
        assert computed[name].dtype == expected[name].dtype, name
        assert computed[name].shape == expected[name].shape, name
        found[name] = int((computed[name] != expected[name]).sum())
    return {name: count for name, count in found.items() if count}
