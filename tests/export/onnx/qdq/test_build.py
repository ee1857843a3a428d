"""The QDQ model: its scales are powers of two, it runs in ONNX Runtime and OpenVINO, and it stays close."""

import dataclasses

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx.common.check import check_model, expect_integers_only, inspect_model
from p2vit.export.onnx.common.metadata import read_metadata
from p2vit.export.onnx.common.model_file import save_model
from p2vit.export.onnx.common.optional import onnx
from p2vit.export.onnx.qdq.build import QDQ_OPSET, build_onnx_qdq
from p2vit.export.onnx.runtimes import open_session
from p2vit.numerics import Add, LayerNorm, Linear, Patchify, SumTokens
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from support.meaningful import meaningful_program, mismatches, sqnr_db
from support.programs import random_pixels, random_program

PROGRAMS = {
    "gelu": {},
    "offset behind the table": {"offset": 120},
    "tanh gelu": {"function": "gelu_tanh"},
    "quick gelu": {"function": "quick_gelu", "offset": 118},
    "relu": {"function": "relu"},
    "4-bit weights": {"weight_bits": 4},
    "average pool": {"prefix": 0, "pool": "avg"},
    "registers": {"prefix": 5, "image": (20, 28), "dim": 40, "heads": 5, "mlp": 70},
}


def integer_logits(program, pixels):
    stored = ReferenceExecutor(program).run(pixels)[program.output]
    return program.tensors[program.output].real(stored).reshape(len(pixels), -1)


@pytest.mark.parametrize("options", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_onnxruntime_comes_close_to_the_integers(options):
    program = meaningful_program(**options)
    model = build_onnx_qdq(program)
    check_model(model)
    pixels = random_pixels(program, 8)
    logits = open_session(model).run(None, {PIXELS: pixels})[0]
    assert logits.dtype == np.float32
    # Only rounding half to even and the float LayerNorm, softmax and GELU cause differences.
    assert sqnr_db(integer_logits(program, pixels), logits) > 28


def test_openvino_comes_close_to_the_integers(tmp_path):
    openvino = pytest.importorskip("openvino")
    program = meaningful_program(offset=120)
    file = tmp_path / "model.onnx"
    save_model(build_onnx_qdq(program), file)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_NUM_THREADS": 1})
    pixels = random_pixels(program, 8)
    (logits,) = compiled(pixels).values()
    assert sqnr_db(integer_logits(program, pixels), logits) > 25
    assert compiled(pixels[:3])[0].shape == (3, 5)


def test_log2_codes_become_a_float_softmax():
    program = meaningful_program(form="log2")
    pixels = random_pixels(program, 8)
    logits = open_session(build_onnx_qdq(program)).run(None, {PIXELS: pixels})[0]
    assert sqnr_db(integer_logits(program, pixels), logits) > 15


def test_probabilities_are_quantized_on_request():
    program = meaningful_program()
    plain, more = (
        inspect_model(build_onnx_qdq(program, quantize_probabilities=q)).operators for q in (False, True)
    )
    assert more["QuantizeLinear"] == plain["QuantizeLinear"] + 2
    pixels = random_pixels(program, 8)
    logits = open_session(build_onnx_qdq(program, quantize_probabilities=True)).run(None, {PIXELS: pixels})[0]
    assert sqnr_db(integer_logits(program, pixels), logits) > 20


def test_uint8_activations_stand_for_the_same_numbers():
    program = meaningful_program(offset=120)
    pixels = random_pixels(program, 8)
    signed, unsigned = (build_onnx_qdq(program, activations=dtype) for dtype in ("int8", "uint8"))
    results = [open_session(model).run(None, {PIXELS: pixels})[0] for model in (signed, unsigned)]
    assert sqnr_db(*results) > 40
    quantizers = {
        node.name: node.outputs for node in inspect_model(unsigned).nodes if node.operator == "QuantizeLinear"
    }
    assert set(quantizers.values()) == {("uint8",)}
    with pytest.raises(P2vitError, match=r"^activations is 'int4'; allowed are 'int8' and 'uint8'$"):
        build_onnx_qdq(program, activations="int4")


def test_an_8_bit_stream_with_an_exponent_per_channel_survives():
    rng = np.random.default_rng(0)
    channels, exponents = 12, np.array([-4, -5, -3, -6] * 3)
    builder = ProgramBuilder((8, 8, 3))
    builder.add("patches", Patchify(2), [PIXELS], 0, offset=128)
    weight = rng.integers(-128, 128, (channels, 12)).astype(np.int8)
    shift = rng.integers(9, 11, channels).astype(np.int8)
    bias = rng.integers(-20000, 20000, channels).astype(np.int32)
    builder.add("stream", Linear(weight, bias, shift), ["patches"], exponents)
    left, table = (exponents + 6).astype(np.int8), rsqrt_table(channels)
    scales = exponents + rng.integers(-1, 2, channels)
    to_output = (table[1] + squares_shift(channels) + scales).astype(np.int8)
    builder.add("norm", LayerNorm(channels, left, table[0], to_output, 1 << 20, -2), ["stream"], scales)
    branch = Linear(weight, bias, shift + np.int8(1))
    builder.add("branch", branch, ["norm"], -5)
    back = np.minimum(exponents, -5)
    lefts = [(exponents - back).astype(np.int8), (-5 - back).astype(np.int8)]
    out = (exponents + 1 - back).astype(np.int8)
    builder.add("add", Add(*lefts, out, output_bits=8), ["stream", "branch"], exponents + 1)
    builder.add("pool", SumTokens(0, 16, np.full(1, 3, np.int8)), ["add"], exponents + 4)
    builder.add("head", Linear(weight, bias, np.zeros(channels, np.int8), 8, 32), ["pool"], -9)
    preprocessing = Preprocessing(image_size=(8, 8))
    program = IntegerProgram(tuple(builder.nodes), builder.tensors, "head", "pool", preprocessing)
    pixels = random_pixels(program, 8)
    assert mismatches(program, pixels) == {}
    logits = open_session(build_onnx_qdq(program)).run(None, {PIXELS: pixels})[0]
    assert sqnr_db(integer_logits(program, pixels), logits) > 25


def test_the_float_twin_has_no_quantizers():
    operators = inspect_model(build_onnx_qdq(meaningful_program(), quantize=False)).operators
    assert "QuantizeLinear" not in operators
    assert operators["DequantizeLinear"] == 1  # for the uint8 pixels


def test_every_scale_is_a_power_of_two_and_weights_are_symmetric_int8():
    model = build_onnx_qdq(meaningful_program(weight_bits=4))
    constants = {c.name: onnx().numpy_helper.to_array(c) for c in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    weights = [node for node in pairs if node.input[0] in constants]
    for node in pairs:
        mantissa, _ = np.frexp(constants[node.input[1]])
        assert (mantissa == 0.5).all()
    assert len(weights) == 14  # 1 patch embedding, 2 × 6 linear layers, 1 head
    for node in weights:
        assert constants[node.input[0]].dtype == np.int8
        assert not constants[node.input[2]].any()
    activations = {int(constants[node.input[2]]) for node in pairs if node.op_type == "QuantizeLinear"}
    assert activations == {0}
    # Activations have one scale each.
    assert {constants[node.input[1]].size for node in pairs if node not in weights} == {1}


def test_it_is_the_standard_form():
    model = build_onnx_qdq(meaningful_program())
    report = inspect_model(model)
    assert report.opset == QDQ_OPSET == 17
    assert report.operators["LayerNormalization"] == 5
    assert report.operators["Softmax"] == report.operators["Erf"] == 2
    assert read_metadata(model)["p2vit.format"] == "onnx-qdq"
    with pytest.raises(P2vitError, match=r"^\d+ tensors are floating point, the first is '"):
        expect_integers_only(report)


def test_a_table_that_is_no_function_is_refused():
    with pytest.raises(
        P2vitError, match=r"^node blocks\.0\.mlp\.gelu: its table is none of gelu, .* export onnx-integer"
    ):
        build_onnx_qdq(random_program())


def test_a_layernorm_whose_input_is_not_aligned_is_refused():
    program = meaningful_program()
    nodes = tuple(
        dataclasses.replace(
            n, operator=dataclasses.replace(n.operator, input_shift=np.arange(48, dtype=np.int8) % 2)
        )
        if isinstance(n.operator, LayerNorm)
        else n
        for n in program.nodes
    )
    with pytest.raises(P2vitError, match=r"^node blocks\.0\.norm1: its aligned input has no single exponent"):
        build_onnx_qdq(dataclasses.replace(program, nodes=nodes))


def test_an_offset_that_nobody_absorbs_is_refused():
    program = meaningful_program()
    tensors = dict(program.tensors)
    tensors["blocks.0.attn.q"] = dataclasses.replace(tensors["blocks.0.attn.q"], offset=3)
    with pytest.raises(
        P2vitError,
        match=r"scores: blocks\.0\.attn\.q has offset 3, which only a linear layer or a table can absorb",
    ):
        build_onnx_qdq(dataclasses.replace(program, tensors=tensors))
