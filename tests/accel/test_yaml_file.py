import pytest
from pydantic import BaseModel, ConfigDict

from p2vit.accel.problems import AccelError
from p2vit.accel.yaml_file import read_yaml


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    rows: list[Inner] = []


def read(tmp_path, text):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return read_yaml(path, Outer, "see the manual")


def test_reads(tmp_path):
    assert read(tmp_path, "inner: {depth: 3}").inner.depth == 3


def test_lines_inside_lists(tmp_path):
    with pytest.raises(AccelError, match=r"line 4: rows\.1\.depht: unknown key; did you mean 'depth'\?"):
        read(tmp_path, "inner: {depth: 3}\nrows:\n  - depth: 1\n  - depht: 2\n")


def test_next_step_is_said(tmp_path):
    with pytest.raises(AccelError, match="see the manual"):
        read(tmp_path, "inner: 3")
