"""Damaged program files, their hashes made right again, through loading and the native engine: refused, or run as
the reference runs them. Nothing takes the process down.

``make fuzz`` runs many more of them than the default: ``P2VIT_FUZZ`` says how many of each kind.
"""

import json
import os

import numpy as np
import pytest

from p2vit.engine.executor import RefusedProgramError
from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from p2vit.program.audit import audit
from p2vit.program.format import decode, encode
from support.damage import (
    Damage,
    damaged,
    flip_bits,
    flip_header_bits,
    mutate_document,
    overwrite_array,
    swap_parts,
    wrong_scalar,
    wrong_tensor,
)
from support.forging import SMALL
from support.programs import random_pixels, random_program

COUNT, FIRST = int(os.environ.get("P2VIT_FUZZ", "120")), int(os.environ.get("P2VIT_FUZZ_SEED", "0"))
ISAS = [name for name, reason in instruction_sets().items() if not reason]
pytestmark = pytest.mark.skipif(not ISAS, reason="the native engine was not built")

PROGRAMS = [
    {},
    {"weight_bits": 4, "form": "log2", "prefix": 3},
    {"pool": "mean", "prefix": 0, "heads": 3, "dim": 9},
]


def run(graph: bytes, tensors: bytes, isa: str) -> str:
    """Return ``refused``, or ``ran`` if the native engine equals the reference. Everything else fails the test."""
    try:
        program = decode(graph, tensors, "here")
    except ProgramError:
        return "refused"
    try:
        executor = NativeExecutor(program, threads=2, isa=isa)
    except RefusedProgramError as error:
        if not str(error).startswith("native engine: node "):
            raise
        return "refused"
    names = [node.name for node in program.nodes]
    pixels = random_pixels(program, 2)
    found = executor.run(pixels, names)
    if not audit(program).passed:
        return "ran"  # Accumulators overflow int32, so only a crash would be a fault.
    expected = ReferenceExecutor(program).run(pixels, names)
    for name in names:
        assert np.array_equal(found[name], expected[name]), name
    return "ran"


@pytest.mark.parametrize(
    ("damage", "survivors"),
    [
        (flip_bits, 0.1),
        pytest.param(overwrite_array, 0.1, marks=pytest.mark.extended),
        pytest.param(flip_header_bits, 0, marks=pytest.mark.extended),
        (mutate_document, 0),
        pytest.param(swap_parts, 0, marks=pytest.mark.extended),
        pytest.param(wrong_scalar, 0, marks=pytest.mark.extended),
        (wrong_tensor, 0),
    ],
)
def test_damaged_files(damage: Damage, survivors: float):
    files = [encode(random_program(**{**SMALL, **options})) for options in PROGRAMS]
    ran = 0
    for seed in range(FIRST, FIRST + COUNT):
        rng = np.random.default_rng(seed)
        graph, tensors = files[seed % len(files)]
        graph, content = damaged(graph, tensors, damage, rng)
        try:
            ran += run(graph, content, ISAS[seed % len(ISAS)]) == "ran"
        except Exception as error:
            raise AssertionError(f"{damage.__name__}, seed {seed}") from error
    # If all damage were refused, nothing after the checks would be tested.
    assert ran >= survivors * COUNT


def test_damage_that_the_hashes_see_is_refused():
    graph, tensors = encode(random_program(**SMALL))
    rng = np.random.default_rng(FIRST)
    for _ in range(COUNT):
        files = [bytearray(graph), bytearray(tensors)]
        content = files[int(rng.integers(2))]
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        try:
            decode(bytes(files[0]), bytes(files[1]), "here")
        except ProgramError as error:
            assert str(error).startswith("here/")  # noqa: PT017 - white space may change unseen
        else:
            assert json.loads(files[0]) == json.loads(graph)
