"""Test vectors equal the program's parameters and tensors, in both encodings."""

import json
from pathlib import Path

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.vectors import hex_text, parse_hex, read_array, read_vectors, write_vectors
from p2vit.program.graph import PIXELS
from support.programs import random_pixels, random_program


def test_hex_is_twos_complement_most_significant_digit_first():
    assert hex_text(np.array([0, 1, -1, -128, 127], np.int8)) == "00\n01\nff\n80\n7f\n"
    assert hex_text(np.array([[1, -2], [256, -32768]], np.int16)) == "0001\nfffe\n0100\n8000\n"
    assert hex_text(np.array([-1, 1 << 30], np.int32)) == "ffffffff\n40000000\n"
    assert hex_text(np.array(200, np.uint8)) == "c8\n"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
def test_hex_comes_back(dtype):
    limits = np.iinfo(dtype)
    array = np.random.default_rng(0).integers(limits.min, limits.max, (3, 5), dtype=dtype, endpoint=True)
    np.testing.assert_array_equal(parse_hex(hex_text(array), dtype, (3, 5)), array)


@pytest.mark.parametrize("encoding", ["npy", "hex"])
def test_every_tensor_and_parameter_comes_back(encoding, tmp_path):
    program = random_program(depth=1)
    pixels = random_pixels(program, 2)
    write_vectors(program, pixels, tmp_path / "vectors", encoding=encoding, program_sha256="cd" * 32)
    manifest, tensors = read_vectors(tmp_path / "vectors")
    expected = ReferenceExecutor(program).run(pixels, list(program.tensors)) | {PIXELS: pixels}
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)
    assert manifest["program_sha256"] == "cd" * 32
    assert manifest["tensors"]["patch_embed"]["bits"] == 16
    for node, entry in zip(program.nodes, manifest["nodes"], strict=True):
        assert entry["operator"] == type(node.operator).__name__
        for name, stored in entry["parameters"].items():
            value = getattr(node.operator, name)
            if isinstance(stored, dict):
                np.testing.assert_array_equal(read_array(tmp_path / "vectors", stored), value)
            else:
                assert stored == value


def test_the_same_vectors_have_the_same_bytes(tmp_path):
    program = random_program(depth=1)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        write_vectors(program, random_pixels(program, 1), folder)
    for file in filter(Path.is_file, folders[0].rglob("*")):
        assert file.read_bytes() == (folders[1] / file.relative_to(folders[0])).read_bytes()


def test_a_folder_in_use_is_left_alone(tmp_path):
    program, folder = random_program(depth=1), tmp_path / "vectors"
    pixels = random_pixels(program, 1)
    write_vectors(program, pixels, folder)
    with pytest.raises(
        P2vitError, match=r"vectors: exists already; choose another place, or allow overwriting"
    ):
        write_vectors(program, pixels, folder)
    write_vectors(program, pixels, folder, encoding="hex", overwrite=True)
    assert not list(folder.rglob("*.npy"))
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("dear reader")
    with pytest.raises(P2vitError, match=r"mine: contains thesis\.txt, but no vectors that p2vit wrote"):
        write_vectors(program, pixels, other, overwrite=True)
    with pytest.raises(P2vitError, match=r"thesis\.txt: exists and is not a folder \(it is a file\)"):
        write_vectors(program, pixels, other / "thesis.txt")
    with pytest.raises(P2vitError, match=r"^encoding is 'bin'; allowed are 'npy' and 'hex'$"):
        write_vectors(program, pixels, tmp_path / "new", encoding="bin")
    with pytest.raises(
        P2vitError, match=r"holds no manifest\.json; expected a folder written by: p2vit export"
    ):
        read_vectors(other)


def test_the_manifest_says_how_to_read_it(tmp_path):
    write_vectors(
        random_program(depth=1), random_pixels(random_program(depth=1), 1), tmp_path, encoding="hex"
    )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert "two's complement" in manifest["encoding_note"]
    assert manifest["rounding"] == "every shift rounds half up: (x + 2^(s-1)) >> s"
