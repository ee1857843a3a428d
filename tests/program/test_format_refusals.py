import re

import numpy as np
import pytest

from p2vit.errors import ProgramError
from p2vit.program.format import decode
from support.forging import SMALL, edited
from support.programs import random_program, windowed_program


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"format": "p2vit-integer-program", "version": 2, "a": 1e999}', "cannot be written as JSON"),
        (b"[1]", "is not an integer program"),
        (b'{"format": "onnx"}', "is not an integer program"),
        (
            b'{"format": "p2vit-integer-program", "version": true}',
            "has version True; expected 2 or 3: the file is",
        ),
        (b'{"format": "p2vit-integer-program", "version": "2"}', "has version '2'; expected 2 or 3"),
        (b'{"format": "p2vit-integer-program", "version": 2.0}', "has version 2.0; expected 2 or 3"),
        (b'{"format": "p2vit-integer-program", "version": 0}', "has version 0; expected 2 or 3"),
        (b'{"format": "p2vit-integer-program"}', "has version None; expected 2 or 3"),
        (b'{"format": "p2vit-integer-program", "version": 2}', "sha256 is not the one it records"),
        (b'{"x": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_foreign_documents(graph, message):
    with pytest.raises(ProgramError, match=f"^here/program.json: .*{message}"):
        decode(graph, b"", "here")


@pytest.mark.parametrize(
    ("version", "provenance", "message"),
    [
        (
            1,
            {"p2vit": "0.1.0", "source": "dinov2-elpv"},
            "has version 1 of the format, written by p2vit 0.1.0, but this release reads version 2 or 3: "
            "quantize dinov2-elpv again",
        ),
        (
            1,
            {},
            "has version 1 of the format, but this release reads version 2 or 3: quantize the model again",
        ),
        (
            1,
            "odd",
            "has version 1 of the format, but this release reads version 2 or 3: quantize the model again",
        ),
        (
            4,
            {"p2vit": "9.0.0", "source": "dinov2-elpv"},
            "has version 4 of the format, written by p2vit 9.0.0, but this release reads version 2 or 3: update p2vit",
        ),
    ],
)
def test_files_of_another_version(version, provenance, message):
    files = edited(lambda document, arrays: document.update(version=version, provenance=provenance))
    with pytest.raises(ProgramError, match=f"^here/program.json: {re.escape(message)}$"):
        decode(*files, "here")


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": 5}, r"provenance\.source: Input should be a valid string"),
        ({"calibration": [1]}, r"provenance\.calibration: "),
        ({"calibration": {"seed": "x"}}, r"provenance\.calibration\.seed: Input should be a valid integer"),
        ({"calibration": {"seed": 2**64}}, r"provenance\.calibration\.seed: "),
        ({"calibration": {"photos": -1}}, r"provenance\.calibration\.photos: "),
        (
            {"method": {"weight_bits": "8"}},
            r"provenance\.method\.weight_bits: Input should be a valid integer",
        ),
        ({"method": {"layer_bits": {"head": 99}}}, r"provenance\.method\.layer_bits\.head: "),
        ({"weights_sha256": {}}, r"provenance\.weights_sha256: Input should be a valid string"),
        (
            {"other": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]},
            "nested in more than 32 levels",
        ),
    ],
)
def test_provenance_of_a_wrong_type_is_refused(change, message):
    files = edited(lambda document, arrays: document["provenance"].update(change))
    with pytest.raises(ProgramError, match=rf"^here/program\.json: .*{message}"):
        decode(*files, "here")


@pytest.mark.parametrize(
    "told", [{}, {"source": None, "calibration": {}}, {"anything": {"at": ["all", 1.5]}}]
)
def test_provenance_may_say_nothing_or_more(told):
    files = edited(lambda document, arrays: document.update(provenance=told))
    assert decode(*files, "here").provenance == told


@pytest.mark.parametrize("value", ["0", "", "log2"])
def test_a_scalar_of_a_wrong_type_is_refused(value):
    def change(document, arrays):
        node = next(node for node in document["nodes"] if node["operator"] == "SelectToken")
        node["scalars"]["index"] = value

    message = rf"^here/program\.json: node pool: SelectToken\.index is '{value}'; expected an integer$"
    with pytest.raises(ProgramError, match=message):
        decode(*edited(change), "here")


def test_a_fill_token_that_its_tokens_cannot_hold_is_refused():
    def change(document, arrays):
        arrays["windows.q/fill"] = arrays["windows.q/fill"].astype("int16") + 300
        node = next(node for node in document["nodes"] if node["name"] == "windows.q")
        node["arrays"]["fill"]["dtype"] = "int16"

    with pytest.raises(
        ProgramError, match=r"node windows\.q: fill spans .*; the tokens it reads hold -128\.\.127"
    ):
        decode(*edited(change, windowed_program()), "here")
