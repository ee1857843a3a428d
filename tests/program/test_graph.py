import numpy as np
import pytest

from p2vit.errors import ProgramError
from p2vit.numerics import Add, Linear, Patchify, Scores, SelectToken, Softmax
from p2vit.program.graph import PIXELS, ProgramBuilder, TensorSpec, node_macs, width_name
from support.programs import random_program


def builder() -> ProgramBuilder:
    made = ProgramBuilder((8, 12, 3))
    made.add("patches", Patchify(4), [PIXELS], 0, 128)
    return made


def linear(inputs: int, outputs: int, bits: int = 8) -> Linear:
    zero = np.zeros(outputs, int)
    return Linear(np.zeros((outputs, inputs), int), zero, zero, output_bits=bits)


def test_specs_follow_from_operators():
    made = builder()
    spec = made.add("fc", linear(48, 5, 16), ["patches"], np.arange(5))
    assert (spec.shape, spec.bits, spec.signed, spec.dtype) == ((6, 5), 16, True, np.int16)
    assert spec.limits == (-32768, 32767)
    selected = made.add("one", SelectToken(2), ["fc"], np.arange(5))
    assert (selected.shape, selected.bits) == ((1, 5), 16)


def test_tensors_by_name():
    program = random_program()
    assert program.among(["head", PIXELS, "head"], "keep") == [PIXELS, "head"]
    with pytest.raises(
        ProgramError, match=r"^keep names 'heat', .* Did you mean 'head'\? Its tensors: pixels, "
    ):
        program.among(["head", "heat"], "keep")


def test_real_values():
    spec = TensorSpec("x", (2, 2), 8, True, np.array([-1, 3]), offset=128)
    assert spec.real(np.array([[-128, -127]])).tolist() == [[0.0, 8.0]]


@pytest.mark.parametrize(
    ("exponent", "message"),
    [
        (np.array(0.5), "must be integers in −127..127"),
        (np.array(128), "must be integers in −127..127"),
        (np.zeros(3, int), r"tensor x: exponents have shape \(3,\); a tensor of shape \[4, 2\] takes one of"),
        (np.zeros((4, 1), int), "one number, one per channel, or one per head"),
    ],
)
def test_exponents_are_checked(exponent, message):
    with pytest.raises(ValueError, match=message):
        TensorSpec("x", (4, 2), 8, True, exponent)


def test_exponents_per_head():
    spec = TensorSpec("s", (3, 5, 5), 32, True, np.arange(3)[:, None, None])
    assert spec.exponent.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        spec.exponent[0] = 1


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        (linear(48, 5), ["nothing"], "node n: reads 'nothing', which no earlier node writes"),
        (linear(48, 5), ["patches", "patches"], "node n: Linear reads 1 tensors, not 2"),
        (linear(47, 5), ["patches"], r"node n: input has shape \[6, 48\]; the weight wants 47 channels last"),
        (linear(3, 5), [PIXELS], "node n: reads pixels, uint8; Linear takes up to int8 there"),
        (linear(5, 2), ["wide"], "node n: reads wide, int16; Linear takes up to int8 there"),
        (Scores(1, 48), ["patches", "wide"], "node n: reads wide, int16; Scores takes up to int8"),
        (
            Add(*(np.zeros(1, int) for _ in range(3))),
            ["logits", "logits"],
            "reads logits, int32; Add takes up to int16",
        ),
        (Patchify(4), ["patches"], "node n: reads patches, int8; Patchify takes up to uint8"),
        (Softmax(np.zeros(2, int)), ["patches"], r"node n: input has shape \[6, 48\]; softmax wants"),
    ],
)
def test_what_does_not_fit_is_refused(operator, inputs, message):
    made = builder()
    made.add("wide", linear(48, 5, 16), ["patches"], 0)
    made.add("logits", linear(48, 5, 32), ["patches"], 0)
    with pytest.raises(ValueError, match=message):
        made.add("n", operator, inputs, 0)


def test_names_are_unique():
    made = builder()
    with pytest.raises(ValueError, match="node patches: the name is taken"):
        made.add("patches", linear(48, 5), ["patches"], 0)


def test_programs_are_searched():
    program = random_program()
    assert program.node("head").operator.output_bits == 32
    with pytest.raises(KeyError, match="tail"):
        program.node("tail")
    assert [node.name for node in program.of_kind(Patchify)] == ["patches"]
    assert program.pixels.shape == (8, 12, 3)
    tokens, dim, mlp = 7, 48, 80
    block = 4 * tokens * dim * dim + 2 * tokens * dim * mlp + 2 * tokens * tokens * dim
    assert program.macs == 6 * 48 * dim + 2 * block + dim * 5
    assert node_macs(program.node("norm"), program.tensors) == 0


def test_width_names():
    assert [width_name(8, True), width_name(4, False)] == ["int8", "uint4"]
