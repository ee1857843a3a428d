"""Program files with something changed and every hash made right again: what loading must refuse."""

import hashlib
import json
from collections.abc import Callable

import numpy as np
import safetensors.numpy

from p2vit.program.document import canonical_json
from p2vit.program.format import encode
from support.programs import random_program

SMALL = {"image": (4, 4), "patch": 2, "dim": 6, "depth": 1, "heads": 2, "mlp": 7, "classes": 3}


def resign(document: dict) -> bytes:
    """A document whose own hash is right, whatever was changed in it."""
    document.pop("sha256", None)
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    return json.dumps(document).encode()


def edited(change: Callable, program=None) -> tuple[bytes, bytes]:
    """Both files of a program after ``change(document, arrays)``, all hashes made right again."""
    graph, tensors = encode(program or random_program(**SMALL))
    document, arrays = json.loads(graph), safetensors.numpy.load(tensors)
    change(document, arrays)
    tensors = safetensors.numpy.save(arrays)
    document["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    return resign(document), tensors


def mutate(value: object, rng: np.random.Generator) -> object:
    """Replace one random value anywhere in a JSON tree by something hostile."""
    hostile = [
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**63,
        -(2**70),
        1.5,
        "",
        "Linear",
        "/",
        [],
        {},
        [[]],
        [1, 2, 3],
        "log2",
    ]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[int(rng.integers(len(value)))]
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = int(rng.integers(len(value)))
        return [*value[:at], mutate(value[at], rng), *value[at + 1 :]]
    return hostile[int(rng.integers(len(hostile)))]
