import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from p2vit.program.document import canonical_json
from p2vit.program.format import GRAPH_FILE, TENSOR_FILE, decode, encode, load, program_sha256, save
from programs import random_pixels, random_program

SMALL = {"image": (4, 4), "patch": 2, "dim": 6, "depth": 1, "heads": 2, "mlp": 7, "classes": 3}


def resign(document: dict) -> bytes:
    """A document whose own hash is right, whatever was changed in it."""
    document.pop("sha256", None)
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    return json.dumps(document).encode()


def edited(change, program=None) -> tuple[bytes, bytes]:
    """Both files of a program after ``change(document, arrays)``, all hashes made right again."""
    graph, tensors = encode(program or random_program(**SMALL))
    document, arrays = json.loads(graph), safetensors.numpy.load(tensors)
    change(document, arrays)
    tensors = safetensors.numpy.save(arrays)
    document["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    return resign(document), tensors


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_bits": 4, "form": "log2"},
        {"weight_bits": 3, "dim": 9, "heads": 3, "pool": "mean", "prefix": 0},
    ],
)
def test_what_is_loaded_computes_the_same(tmp_path, options):
    program = random_program(**{**SMALL, **options})
    save(program, tmp_path / "a" / "b")
    again = load(tmp_path / "a" / "b")
    assert program_sha256(again) == program_sha256(program)
    pixels = random_pixels(program, 3)
    names = [node.name for node in program.nodes]
    first, second = (ReferenceExecutor(p).run(pixels, names) for p in (program, again))
    assert all(np.array_equal(first[name], second[name]) for name in names)
    assert again.preprocessing == program.preprocessing
    assert again.provenance == program.provenance


def test_bytes_are_deterministic_and_weights_are_packed(tmp_path):
    for name in "ab":
        save(random_program(**SMALL, weight_bits=4), tmp_path / name)
    for file in (GRAPH_FILE, TENSOR_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    arrays = safetensors.numpy.load((tmp_path / "a" / TENSOR_FILE).read_bytes())
    assert arrays["blocks.0.mlp.fc2/weight"].shape == (6, 4)  # 7 inputs
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [GRAPH_FILE, TENSOR_FILE]


def test_hash_counts_integers_and_not_provenance():
    program = random_program(**SMALL)
    other = dataclasses.replace(program, provenance={"seconds": 3.5, "machine": "x"})
    assert program_sha256(other) == program_sha256(program)
    assert program_sha256(dataclasses.replace(program, classes=("a", "b", "c"))) != program_sha256(program)
    assert program_sha256(random_program(**SMALL, seed=1)) != program_sha256(program)
    preprocessing = program.preprocessing.model_copy(update={"interpolation": "bicubic"})
    assert program_sha256(dataclasses.replace(program, preprocessing=preprocessing)) != program_sha256(
        program
    )


def test_existing_folders_are_kept(tmp_path):
    program = random_program(**SMALL)
    place = tmp_path / "p"
    save(program, place)
    with pytest.raises(ProgramError, match=r"p: exists already; choose another place, or allow overwriting"):
        save(program, place)
    other = random_program(**SMALL, seed=1)
    save(other, place, overwrite=True)
    assert program_sha256(load(place)) == program_sha256(other)
    assert os.listdir(tmp_path) == ["p"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(b"1")
    with pytest.raises(
        ProgramError, match=r"holds no program.json, so it is not a program and is not overwritten"
    ):
        save(program, tmp_path / "photos", overwrite=True)
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(ProgramError, match="exists and is no folder"):
        save(program, tmp_path / "file", overwrite=True)


def test_a_failing_disk_leaves_the_old_program(tmp_path, monkeypatch):
    program = random_program(**SMALL)
    save(program, tmp_path / "p")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProgramError, match="cannot be written: No space left"):
        save(random_program(**SMALL, seed=1), tmp_path / "p", overwrite=True)
    assert program_sha256(load(tmp_path / "p")) == program_sha256(program)
    assert os.listdir(tmp_path) == ["p"]


def test_a_killed_save_leaves_no_program(tmp_path):
    script = (
        "import os, sys\n"
        "from programs import random_program\n"
        "from p2vit.program.format import save\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "save(random_program(image=(4, 4), patch=2, dim=6, depth=1, heads=2, mlp=7), sys.argv[1])\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "p")],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 9
    assert not (tmp_path / "p").exists()


def test_an_unsound_program_is_not_saved(tmp_path):
    program = random_program(**SMALL)
    with pytest.raises(ProgramError, match="there are 2 classes; the output has 3 numbers"):
        save(dataclasses.replace(program, classes=("a", "b")), tmp_path / "p")
    with pytest.raises(ProgramError, match="cannot be written as JSON"):
        save(dataclasses.replace(program, provenance={"loss": float("nan")}), tmp_path / "p")
    with pytest.raises(ProgramError, match="cannot be written as JSON"):
        save(dataclasses.replace(program, provenance={"path": tmp_path}), tmp_path / "p")
    assert os.listdir(tmp_path) == []


def test_missing_and_foreign_places(tmp_path):
    with pytest.raises(ProgramError, match="nowhere: does not exist; a program is a folder that holds"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ProgramError, match="is not a folder"):
        load(tmp_path / "file")
    with pytest.raises(ProgramError, match=r"program.json: is missing or not a plain file"):
        load(tmp_path)
    save(random_program(**SMALL), tmp_path / "p")
    (tmp_path / "p" / TENSOR_FILE).unlink()
    with pytest.raises(ProgramError, match=r"tensors.safetensors: is missing"):
        load(tmp_path / "p")
    os.mkfifo(tmp_path / "p" / TENSOR_FILE)
    with pytest.raises(ProgramError, match="not a plain file"):
        load(tmp_path / "p")


def test_absurd_sizes_are_not_read(tmp_path):
    save(random_program(**SMALL), tmp_path / "p")
    with (tmp_path / "p" / GRAPH_FILE).open("ab") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ProgramError, match="bytes; allowed are up to"):
        load(tmp_path / "p")


def test_tensors_of_another_program(tmp_path):
    for seed in (0, 1):
        save(random_program(**SMALL, seed=seed), tmp_path / str(seed))
    shutil.copy(tmp_path / "0" / TENSOR_FILE, tmp_path / "1" / TENSOR_FILE)
    with pytest.raises(
        ProgramError, match=r"tensors.safetensors: its sha256 is not the one that program.json"
    ):
        load(tmp_path / "1")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format": NaN}', "NaN is no JSON number"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b"[1]", "is not an integer program"),
        (b'{"format": "onnx"}', "is not an integer program"),
        (
            b'{"format": "p2vit-integer-program", "version": 2}',
            r"has version 2; this release reads version 1",
        ),
        (b'{"format": "p2vit-integer-program", "version": true}', "has version True"),
        (b'{"format": "p2vit-integer-program", "version": 1}', "sha256 is not the one it records"),
        (b'{"x": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_foreign_documents(graph, message):
    with pytest.raises(ProgramError, match=f"^here/program.json: .*{message}"):
        decode(graph, b"", "here")


def node(document: dict, name: str) -> dict:
    return next(node for node in document["nodes"] if node["name"] == name)


def set_scalar(name: str, scalar: str, value: object):
    return lambda document, arrays: node(document, name)["scalars"].update({scalar: value})


def set_array(key: str, value: np.ndarray):
    return lambda document, arrays: arrays.update({key: value})


def change_array(key: str, change):
    return lambda document, arrays: arrays.update({key: change(arrays[key])})


def move_first_node_last(document: dict, arrays: dict) -> None:
    document["nodes"].append(document["nodes"].pop(0))


def update(**values: object):
    return lambda document, arrays: document.update(values)


def in_node(at: str, /, **values: object):
    return lambda document, arrays: node(document, at).update(values)


def in_output(at: str, /, **values: object):
    return lambda document, arrays: node(document, at)["output"].update(values)


def drop(*path: str):
    def change(document: dict, arrays: dict) -> None:
        at = document
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


FC2 = "blocks.0.mlp.fc2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (update(extra=1), "extra: Extra inputs are not permitted"),
        (drop("nodes"), "nodes: Field required"),
        (update(nodes=[]), "nodes: List should have at least 1 item"),
        (update(output="nothing"), "the output is 'nothing', which no node writes"),
        (update(feature="pixels"), "the feature is 'pixels', which no node writes"),
        (update(classes=["a"]), "there are 1 classes; the output has 3 numbers"),
        (
            in_node("head", operator="Convolution"),
            "node head: operator 'Convolution' is unknown; known are Patchify",
        ),
        (in_node("head", name="../../etc/passwd"), "nodes.*name: String should match pattern"),
        (in_node("head", inputs=["norm", "norm"]), "node head: Linear reads 1 tensors, not 2"),
        (in_node("head", inputs=["head"]), "node head: reads 'head', which no earlier node writes"),
        (in_node("head", file="/etc/passwd"), "nodes.*file: Extra inputs"),
        (move_first_node_last, "node patch_embed: reads 'patches', which no earlier node writes"),
        (in_output("head", shape=[1, 4]), r"node head: writes int32 \[1, 3\]; recorded is int32 \[1, 4\]"),
        (in_output("head", bits=16), r"recorded is int16"),
        (in_output("head", bits=64), r"bits: Input should be less than or equal to 32"),
        (in_output("head", exponent=0.5), "nodes.*exponent"),
        (in_output("head", exponent=300), "nodes.*exponent"),
        (in_output("head", exponent=-11), r"node head: exponents? of|node head: shift"),
        (
            in_output("patches", offset=0),
            r"node patches: offset of the patches.* is 0; the exponents imply 128",
        ),
        (set_scalar("head", "output_bits", 12), "node head: output_bits is 12; allowed are 8, 16 and 32"),
        (set_scalar("head", "output_bits", True), "nodes.*output_bits"),
        (set_scalar("head", "output_bits", "8"), "node head: "),
        (set_scalar("head", "weight_bits", "8"), "node head: "),
        (set_scalar("head", "heads", 1), r"node head: its scalars are \['heads'"),
        (set_scalar("blocks.0.attn.scores", "heads", 0), "heads is 0; allowed are 1 and more"),
        (set_scalar("blocks.0.attn.values", "form", "log2"), "expected a Softmax of form 'log2'"),
        (set_scalar("pool", "index", 99), "node pool: token 99 is not among"),
        (set_scalar("patches", "patch_size", 0), "patch_size is 0"),
        (
            set_array(f"{FC2}/bias", np.zeros(6, np.float32)),
            "'blocks.0.mlp.fc2/bias' is float32; .* integers only",
        ),
        (
            set_array(f"{FC2}/bias", np.zeros(6, np.int64)),
            "'blocks.0.mlp.fc2/bias': is int64; recorded is int32",
        ),
        (set_array(f"{FC2}/bias", np.zeros(7, np.int32)), r"has shape \[7\]; recorded is \[6\]"),
        (set_array("spare", np.zeros(1, np.int8)), r"arrays \['spare'\] belong to no node"),
        (lambda d, a: a.pop(f"{FC2}/bias"), "array 'blocks.0.mlp.fc2/bias' is missing"),
        (change_array(f"{FC2}/shift", lambda s: s + np.int8(1)), r"node blocks.0.mlp.fc2: shift at \[0\] is"),
        (change_array(f"{FC2}/shift", lambda s: s * 0 + np.int8(99)), "shift leaves −31..31"),
        (change_array(f"{FC2}/accumulator_exponent", lambda s: s - np.int8(1)), "fc2: shift at"),
        (change_array("blocks.0.attn.softmax/shift", lambda s: s + np.int8(1)), "softmax: shift at"),
        (
            change_array("blocks.0.norm1/table", lambda t: t + np.uint16(1)),
            "norm1: inverse square root table",
        ),
        (drop("preprocessing"), "preprocessing: Field required"),
        (
            update(preprocessing={"image_size": [8, 4]}),
            r"preprocessing makes images of \[8, 4\]; .* takes \[4, 4\]",
        ),
        (lambda d, a: d["pixels"].update(shape=[1 << 20, 1 << 20, 3]), "the pixels have shape"),
        (lambda d, a: d["pixels"].update(exponent=1), "exponent of the pixels is 1; the exponents imply 0"),
    ],
)
def test_forged_files_are_refused_by_name(change, message):
    with pytest.raises(ProgramError, match=f"^here/.*{message}"):
        decode(*edited(change), "here")


def test_four_bit_weights_must_be_packed():
    def change(document: dict, arrays: dict) -> None:
        arrays[f"{FC2}/weight"] = np.zeros((6, 7), np.int8)
        node(document, FC2)["arrays"]["weight"] = {"dtype": "int8", "shape": [6, 7]}

    with pytest.raises(ProgramError, match="weight is int8; expected int4"):
        decode(*edited(change, random_program(**SMALL, weight_bits=4)), "here")


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
        assert found.nodes  # sound by every check, but another program: its hash says so
        assert program_sha256(found) != ""


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
