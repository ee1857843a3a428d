"""Weights in several files, and the JSON beside them."""

import json

import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.sources.shards import read_content, read_json, read_shards
from support.wrappers import WRAPPERS

STATE = {"a": torch.ones(2), "b": torch.zeros(3), "c": torch.ones(1)}


@pytest.mark.parametrize("name", ["sharded safetensors", "sharded .bin"])
def test_shards_are_put_together(tmp_path, name):
    found = read_content(WRAPPERS[name](STATE, tmp_path)).value
    assert set(found) == set(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_what_is_wrong_with_shards_is_named(tmp_path):
    index = WRAPPERS["sharded safetensors"](STATE, tmp_path)
    content = json.loads(index.read_text())

    def refused(change, said):
        index.write_text(json.dumps(change))
        with pytest.raises(ModelError, match=said):
            read_shards(index)

    refused({}, "the key 'weight_map' is missing")
    refused({"weight_map": [1]}, "the key 'weight_map' is missing")
    refused(
        {"weight_map": {"a": "../secret.safetensors"}},
        r"names the file '\.\./secret\.safetensors', but only files in the same folder",
    )
    refused({"weight_map": {"a": "/etc/passwd"}}, "only files in the same folder")
    refused({"weight_map": {"a": 3}}, "the file 3 is missing in the same folder; download all files")
    places = content["weight_map"]
    refused({"weight_map": places | {"d": places["a"]}}, "lists tensors that none of its files contains: d")
    (tmp_path / places["a"]).write_bytes(b"")
    refused(content, "empty, not a weight file")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not readable as JSON: Expecting value"),
        (b"[1]", "contains a JSON list, but an object is needed"),
        (b"\xff\xfe", "not readable as JSON: 'utf-8' codec"),
        (b"[" * 100000, "not readable as JSON"),
        (b'{"a": ' + b"9" * 10000 + b"}", "not readable as JSON"),
    ],
)
def test_json_that_is_none(tmp_path, text, said):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ModelError, match=said):
        read_json(tmp_path / "a.json")


def test_json_that_is_not_there_or_too_large(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_json(tmp_path / "a.json")
    with (tmp_path / "b.json").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(ModelError, match="65 MiB are too large for a configuration"):
        read_json(tmp_path / "b.json")
