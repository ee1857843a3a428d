"""Damaged program files, their hashes made right again, through loading and the native engine: refused, or run as
the reference runs them. Nothing takes the process down.

``make fuzz`` runs many more of them than the default: ``P2VIT_FUZZ`` says how many of each kind.
"""

import hashlib
import json
import os
from collections.abc import Callable

import numpy as np
import pytest

from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from p2vit.program.audit import audit
from p2vit.program.format import decode, encode
from support.forging import SMALL, mutate, resign
from support.programs import random_pixels, random_program

COUNT, FIRST = int(os.environ.get("P2VIT_FUZZ", "120")), int(os.environ.get("P2VIT_FUZZ_SEED", "0"))
ISAS = [name for name, reason in instruction_sets().items() if not reason]
pytestmark = pytest.mark.skipif(not ISAS, reason="the native engine was not built")

PROGRAMS = [
    {},
    {"weight_bits": 4, "form": "log2", "prefix": 3},
    {"pool": "mean", "prefix": 0, "heads": 3, "dim": 9},
]
Files = tuple[dict, bytearray]


def place_of_an_array(tensors: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    """First and last byte of one array, small and large alike."""
    header = 8 + int.from_bytes(tensors[:8], "little")
    entries = list(json.loads(tensors[8:header]).values())
    sizes = [
        entry["data_offsets"] for entry in entries if entry["data_offsets"][1] > entry["data_offsets"][0]
    ]
    begin, end = sizes[int(rng.integers(len(sizes)))]
    return header + begin, header + end


def flip_bits(files: Files, rng: np.random.Generator) -> Files:
    """Up to three bits of one array."""
    document, tensors = files
    begin, end = place_of_an_array(tensors, rng)
    for _ in range(int(rng.integers(1, 4))):
        tensors[int(rng.integers(begin, end))] ^= 1 << int(rng.integers(8))
    return document, tensors


def flip_header_bits(files: Files, rng: np.random.Generator) -> Files:
    """Up to three bits of the header."""
    document, tensors = files
    header = 8 + int.from_bytes(tensors[:8], "little")
    for _ in range(int(rng.integers(1, 4))):
        tensors[int(rng.integers(header))] ^= 1 << int(rng.integers(8))
    return document, tensors


def overwrite_array(files: Files, rng: np.random.Generator) -> Files:
    """One whole array, with one byte or with noise: every weight −128, every bias huge, every shift odd."""
    document, tensors = files
    begin, end = place_of_an_array(tensors, rng)
    noise = rng.integers(0, 256, end - begin, dtype=np.uint8)
    same = np.full(end - begin, rng.choice([0, 1, 7, 0x7F, 0x80, 0xFF]), np.uint8)
    tensors[begin:end] = (noise if rng.random() < 0.3 else same).tobytes()
    return document, tensors


def mutate_document(files: Files, rng: np.random.Generator) -> Files:
    """One value of the document, or two."""
    document, tensors = files
    for _ in range(int(rng.integers(1, 3))):
        document = mutate(document, rng)
    return document, tensors


def swap_parts(files: Files, rng: np.random.Generator) -> Files:
    """Two values of the same kind change places: operators, inputs, outputs, arrays, scalars."""
    document, tensors = files
    nodes = document["nodes"]
    one, other = (nodes[int(rng.integers(len(nodes)))] for _ in range(2))
    key = str(rng.choice(["operator", "inputs", "output", "arrays", "scalars", "name"]))
    one[key], other[key] = other[key], one[key]
    return document, tensors


def run(graph: bytes, tensors: bytes, isa: str) -> str:
    """``refused``, or ``ran`` where the native engine agrees with the reference; everything else fails the test."""
    try:
        program = decode(graph, tensors, "here")
    except ProgramError:
        return "refused"
    try:
        executor = NativeExecutor(program, threads=2, isa=isa)
    except ValueError as error:
        if not str(error).startswith("native engine: node "):
            raise
        return "refused"
    names = [node.name for node in program.nodes]
    pixels = random_pixels(program, 2)
    found = executor.run(pixels, names)
    if not audit(program).passed:
        return "ran"  # accumulators leave int32: nothing is promised but to survive
    expected = ReferenceExecutor(program).run(pixels, names)
    for name in names:
        assert np.array_equal(found[name], expected[name]), name
    return "ran"


@pytest.mark.parametrize(
    ("damage", "survivors"),
    [(flip_bits, 0.1), (overwrite_array, 0.1), (flip_header_bits, 0), (mutate_document, 0), (swap_parts, 0)],
)
def test_damaged_files(damage: Callable[[Files, np.random.Generator], Files], survivors: float):
    files = [encode(random_program(**{**SMALL, **options})) for options in PROGRAMS]
    ran = 0
    for seed in range(FIRST, FIRST + COUNT):
        rng = np.random.default_rng(seed)
        graph, tensors = files[seed % len(files)]
        document, content = damage((json.loads(graph), bytearray(tensors)), rng)
        if isinstance(document, dict):
            document["tensors_sha256"] = hashlib.sha256(content).hexdigest()
            graph = resign(document)
        else:
            graph = json.dumps(document).encode()
        try:
            ran += run(graph, bytes(content), ISAS[seed % len(ISAS)]) == "ran"
        except Exception as error:
            raise AssertionError(f"{damage.__name__}, seed {seed}") from error
    # Damage that is always refused would test nothing behind the checks.
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
