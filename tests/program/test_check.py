import dataclasses

import numpy as np
import pytest

from p2vit.numerics import Patchify, SelectToken
from p2vit.program.check import structure_problems
from p2vit.program.graph import PIXELS, IntegerProgram, Node, ProgramBuilder, TensorSpec
from p2vit.program.preprocessing import Preprocessing
from support.programs import random_program

SMALL = {"image": (4, 4), "patch": 2, "dim": 6, "depth": 1, "heads": 2, "mlp": 7, "classes": 3}


@pytest.fixture
def program():
    return random_program(**SMALL)


def with_tensor(program, name, **changes):
    spec = dataclasses.replace(program.tensors[name], **changes)
    return dataclasses.replace(program, tensors={**program.tensors, name: spec})


def test_a_sound_program_has_no_problems(program):
    assert structure_problems(program) == []
    assert structure_problems(dataclasses.replace(program, classes=("a", "b", "c"))) == []


def test_whole_program(program):
    assert structure_problems(dataclasses.replace(program, tensors={})) == [
        "there is no tensor 'pixels'; a program starts from its pixels"
    ]
    assert structure_problems(dataclasses.replace(program, nodes=())) == [
        "there are 0 nodes; allowed are 1 to 65536"
    ]
    assert structure_problems(dataclasses.replace(program, output="x", feature="y")) == [
        "the output is 'x', which no node writes",
        "the feature is 'y', which no node writes",
    ]
    assert structure_problems(dataclasses.replace(program, classes=("a",))) == [
        "there are 1 classes; the output has 3 numbers"
    ]
    spare = TensorSpec("spare", (1,), 8, True, np.array(0))
    found = structure_problems(dataclasses.replace(program, tensors={**program.tensors, "spare": spare}))
    assert found == ["tensors ['spare'] are written by no node"]


def test_pixels(program):
    assert any(
        "the pixels are int8; expected uint8" in p
        for p in structure_problems(with_tensor(program, "pixels", signed=True))
    )
    found = structure_problems(with_tensor(program, "pixels", shape=(4, 4, 1)))
    assert (
        found[0] == "the pixels have shape [4, 4, 1]; allowed is [height, width, 3] with sides of 1 to 4096"
    )
    other = program.preprocessing.model_copy(update={"image_size": (8, 8)})
    found = structure_problems(dataclasses.replace(program, preprocessing=other))
    assert found == ["preprocessing makes images of [8, 8]; the program takes [4, 4]"]


def test_nodes(program):
    found = structure_problems(with_tensor(program, "feature", bits=16))
    assert "node feature: writes int8 [1, 6]; recorded is int16 [1, 6]" in found
    found = structure_problems(with_tensor(program, "feature", offset=1 << 20))
    assert found == ["node feature: offset is 1048576; allowed are −32768 to 32768"]
    for name in ("../x", "", "a b", "x" * 201, ".x", "a/b", "a\n"):
        node = Node(name, SelectToken(0), ("head",))
        found = structure_problems(dataclasses.replace(program, nodes=(*program.nodes, node)))
        assert "a name must have 1 to 200 letters" in found[0]
    twice = dataclasses.replace(program, nodes=(*program.nodes, program.nodes[-1]))
    assert structure_problems(twice) == ["node head: the name is taken"]
    backwards = dataclasses.replace(program, nodes=program.nodes[::-1])
    assert structure_problems(backwards)[0].startswith(
        "node head: reads 'feature', which no earlier node writes"
    )


def test_codes_come_from_a_softmax_of_the_same_form(program):
    nodes = [
        Node(n.name, dataclasses.replace(n.operator, form="log2"), n.inputs)
        if n.name.endswith("values")
        else n
        for n in program.nodes
    ]
    assert structure_problems(dataclasses.replace(program, nodes=tuple(nodes))) == [
        "node blocks.0.attn.values: its codes come from 'blocks.0.attn.softmax'; "
        "expected a Softmax of form 'log2'"
    ]


def test_absurd_sizes_are_refused_without_making_them():
    huge = Preprocessing(image_size=(4096, 4096))
    builder = ProgramBuilder((4096, 4096, 3))
    builder.add("patches", Patchify(4096), [PIXELS], 0, 128)
    made = IntegerProgram(tuple(builder.nodes), builder.tensors, "patches", "patches", huge)
    assert structure_problems(made) == [
        "node patches: writes [1, 50331648]; allowed are 1 to 2147483648 numbers, "
        "up to 1048576 of them along the last axis"
    ]
