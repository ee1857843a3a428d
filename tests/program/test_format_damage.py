"""Seeded damage to both files: always a refusal, or exactly the program."""

import hashlib
import json

import numpy as np

from p2vit.errors import ProgramError
from p2vit.program.audit import audit
from p2vit.program.format import decode, encode, program_sha256
from support.forging import SMALL, mutate, resign
from support.programs import random_program


def outcome(graph: bytes, tensors: bytes, expected: str) -> str:
    """The refusal, or nothing where the program is exactly the same; anything else fails the test."""
    try:
        found = decode(graph, tensors, "here")
    except ProgramError as error:
        return str(error)
    assert program_sha256(found) == expected
    return ""


def test_damage_is_refused_or_harmless():
    program = random_program(**SMALL, weight_bits=4)
    expected = program_sha256(program)
    files = encode(program)
    rng = np.random.default_rng(0)
    for trial in range(400):
        which = trial % 2
        content = bytearray(files[which])
        if trial % 10 < 2:
            del content[int(rng.integers(len(content))) :]
        else:
            for _ in range(1 + trial % 3):
                content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        damaged = (bytes(content), files[1]) if which == 0 else (files[0], bytes(content))
        refusal = outcome(*damaged, expected)
        assert refusal == "" or refusal.startswith("here/")


def test_damage_behind_right_hashes_never_crashes():
    """The hashes forged too: the parsers and checks behind them see the damage."""
    program = random_program(**SMALL)
    graph, tensors = encode(program)
    rng = np.random.default_rng(1)
    for _ in range(300):
        content = bytearray(tensors)
        for _ in range(int(rng.integers(1, 4))):
            content[int(rng.integers(min(len(content), 3000)))] ^= 1 << int(rng.integers(8))
        document = json.loads(graph)
        document["tensors_sha256"] = hashlib.sha256(content).hexdigest()
        try:
            found = decode(resign(document), bytes(content), "here")
        except ProgramError:
            continue
        # Sound by every check, but another program: it can be audited like any.
        assert audit(found).layers


def test_hostile_documents_behind_right_hashes_never_crash():
    graph, tensors = encode(random_program(**SMALL))
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(600):
        document = json.loads(graph)
        for _ in range(int(rng.integers(1, 3))):
            document = mutate(document, rng)
        try:
            decode(
                resign(document) if isinstance(document, dict) else json.dumps(document).encode(),
                tensors,
                "here",
            )
        except ProgramError:
            refused += 1
    assert refused > 300
