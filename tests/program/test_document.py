import json

import pytest

from p2vit.numerics import OPERATORS
from p2vit.program.document import Document, canonical_json, describe
from support.dense import dense_program
from support.programs import random_program, windowed_program


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == b'{"a":"\\u00e9","b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("inf"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical_json(object())


def test_every_operator_is_written_by_some_program():
    kinds = set()
    for program in (
        random_program(),
        random_program(pool="mean"),
        windowed_program(),
        dense_program("gated"),
    ):
        document, arrays = describe(program)
        kinds |= {node["operator"] for node in document["nodes"]}
        assert all(array.dtype.kind in "iu" for array in arrays.values())
    assert kinds == set(OPERATORS)


def test_the_document_is_plain_json():
    document, _ = describe(random_program())
    json.dumps(document, allow_nan=False)
    digest = "0" * 64
    Document.model_validate_json(json.dumps({**document, "tensors_sha256": digest, "sha256": digest}))


def test_windows_are_written_only_where_there_are_some():
    scalars = [
        next(node["scalars"] for node in describe(program)[0]["nodes"] if node["operator"] == "Scores")
        for program in (random_program(), windowed_program())
    ]
    assert "windows" not in scalars[0]  # programs from before there were windows read and hash as ever
    assert scalars[1]["windows"] == 6
