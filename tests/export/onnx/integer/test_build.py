"""Every tensor of the integer model equals the reference's, in the dtypes of the program."""

from dataclasses import replace

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx.common.check import check_model, expect_integers_only, inspect_model
from p2vit.export.onnx.common.metadata import read_metadata
from p2vit.export.onnx.integer.build import INTEGER_OPSET, LOGITS, build_onnx_integer
from p2vit.export.onnx.qdq.build import build_onnx_qdq
from p2vit.export.onnx.runtimes import open_session
from p2vit.program.check import structure_problems
from p2vit.program.graph import PIXELS, Node
from support.meaningful import meaningful_program, mismatches
from support.programs import WINDOWED, random_pixels, random_program, windowed_program

PROGRAMS = {
    "linear softmax": {},
    "log2 softmax": {"form": "log2"},
    "4-bit weights": {"weight_bits": 4},
    "6-bit weights": {"weight_bits": 6},
    "average pool": {"pool": "avg"},
    "no prefix": {"prefix": 0, "pool": "avg"},
    "registers": {"prefix": 5, "image": (20, 28), "dim": 40, "heads": 5, "mlp": 70},
    "odd sizes": {
        "image": (9, 15),
        "patch": 3,
        "dim": 42,
        "heads": 2,
        "mlp": 53,
        "form": "log2",
        "classes": 1,
    },
    "one token": {"image": (4, 4), "prefix": 0, "dim": 8, "heads": 1, "mlp": 8},
}


@pytest.mark.parametrize("products", ["portable", "vnni"])
@pytest.mark.parametrize("options", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_every_tensor_of_every_image_is_equal(options, products):
    for seed in range(2):
        program = random_program(seed=seed, **options)
        assert mismatches(program, random_pixels(program, 4, seed), products=products) == {}


@pytest.mark.parametrize("products", ["portable", "vnni"])
@pytest.mark.parametrize("options", WINDOWED, ids=str)
def test_windows_merging_and_a_pooling_head(options, products):
    program = windowed_program(**options)
    assert mismatches(program, random_pixels(program, 3), products=products) == {}


def renamed(program, old, new):
    """Return the program with one node renamed."""

    def called(name):
        return new if name == old else name

    nodes = [
        Node(called(node.name), node.operator, tuple(called(name) for name in node.inputs))
        for node in program.nodes
    ]
    tensors = {called(name): replace(spec, name=called(name)) for name, spec in program.tensors.items()}
    output, feature = called(program.output), called(program.feature)
    return replace(program, nodes=tuple(nodes), tensors=tensors, output=output, feature=feature)


@pytest.mark.parametrize("node", ["head", "feature", "pool", "blocks.0.attn.q"])
def test_a_node_may_be_called_logits(node):
    program = renamed(random_program(), node, LOGITS)
    assert structure_problems(program) == []
    pixels = random_pixels(program, 3)
    assert mismatches(program, pixels) == {}
    model = build_onnx_integer(program)
    check_model(model)
    (found,) = open_session(model).run([LOGITS], {PIXELS: pixels})
    np.testing.assert_array_equal(found, ReferenceExecutor(program).logits(pixels))
    qdq = build_onnx_qdq(renamed(meaningful_program(), node, LOGITS))
    check_model(qdq)
    assert [output.name for output in qdq.graph.output] == [LOGITS]


def test_batch_size_is_dynamic_and_changes_nothing():
    program = random_program()
    session = open_session(build_onnx_integer(program))
    pixels = random_pixels(program, 7)
    together = session.run([LOGITS], {PIXELS: pixels})[0]
    alone = np.concatenate([session.run([LOGITS], {PIXELS: pixels[i : i + 1]})[0] for i in range(7)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("value", [0, 255])
def test_flat_images_are_equal_too(value):
    # All patches are equal, so whole rows are constant, which random pixels would not give.
    program = random_program()
    assert mismatches(program, np.full((2, *program.pixels.shape), value, np.uint8)) == {}


def test_no_tensor_is_floating_point_and_the_checker_is_content():
    program = random_program(form="log2")
    for expose in ((), program.tensors):
        model = build_onnx_integer(program, expose=expose)
        check_model(model)
        report = inspect_model(model)
        expect_integers_only(report)
        assert report.float_tensors == ()
        assert report.opset == INTEGER_OPSET
        used = {dtype for node in report.nodes for dtype in (*node.inputs, *node.outputs)}
        assert used <= {"bool", "int8", "uint8", "int16", "int32", "int64"}
        assert len(report.table().splitlines()) == len(model.graph.node)


def test_int64_stays_with_shapes_and_single_rows():
    report = inspect_model(build_onnx_integer(random_program()))
    wide = {node.operator for node in report.nodes if "int64" in node.outputs}
    assert wide <= {"Shape", "Slice", "Concat"}


def test_the_same_program_gives_the_same_bytes():
    one, two = (build_onnx_integer(random_program()).SerializeToString(deterministic=True) for _ in range(2))
    assert one == two


def test_metadata_tells_where_the_model_is_from():
    program = random_program()
    entries = read_metadata(build_onnx_integer(program, program_sha256="ab" * 32))
    assert entries["p2vit.format"] == "onnx-integer"
    assert entries["p2vit.source"] == "random integers"
    assert entries["p2vit.program_sha256"] == "ab" * 32
    assert (
        type(program.preprocessing).model_validate_json(entries["p2vit.preprocessing"])
        == program.preprocessing
    )
    assert entries["p2vit.classes"] == "[]"
    session = open_session(build_onnx_integer(program))
    assert session.get_modelmeta().custom_metadata_map["p2vit.products"] == "portable"


def test_errors_say_what_is_allowed():
    program = random_program()
    with pytest.raises(
        P2vitError,
        match=r"expose names 'nose', which is not a tensor of the program\. Its tensors: pixels, patches",
    ):
        build_onnx_integer(program, expose=["nose"])
    with pytest.raises(P2vitError, match=r"^products is 'fast'; allowed are 'portable' and 'vnni'$"):
        build_onnx_integer(program, products="fast")
