import numpy as np
import pytest

from engine.replay.recorder import Recorder
from p2vit.engine.native.tensor_buffers import BufferView, TensorBuffers
from p2vit.engine.native.weights import Weights
from p2vit.program.graph import PIXELS, TensorSpec
from support.programs import random_program


@pytest.fixture
def buffers():
    program, recorder = random_program(depth=1), Recorder()
    program.tensors["wide"] = TensorSpec("wide", (3, 4), 12, True, np.array(0))
    return TensorBuffers(program, recorder, Weights(recorder, program))


def test_a_tensor_gets_a_buffer_of_its_shape_and_width(buffers):
    assert buffers.new("tokens") == 0
    assert buffers.plan.calls[-1] == ["buffer", 7, 48, "int16"]
    assert buffers.views["tokens"] == BufferView(0, 0, 48)
    assert buffers.of("tokens") == 0


def test_outputs_are_counted(buffers):
    buffers.add_output("head")
    buffers.add_output("feature")
    assert [buffers.output(name) for name in ("head", "feature", "tokens")] == [0, 1, -1]
    assert buffers.plan.calls == [["output", 20], ["output", 48]]
    assert [spec.name for spec in buffers.outputs] == ["head", "feature"]


def test_tensors_that_have_no_buffer_of_their_own_are_refused(buffers):
    buffers.views["blocks.0.attn.k"] = BufferView(3, 48, 48)
    with pytest.raises(
        ValueError, match=r"^it reads 'blocks\.0\.attn\.k', which shares a buffer with other tensors$"
    ):
        buffers.of("blocks.0.attn.k")
    with pytest.raises(ValueError, match=r"^it reads 'head', which is not a tensor of \[tokens, channels\]$"):
        buffers.of("head")
    with pytest.raises(ValueError, match=r"holds tensors of \[tokens, channels\], not \[8, 12, 3\]$"):
        buffers.new(PIXELS)
    with pytest.raises(ValueError, match=r"holds int8, int16 and int32, not 12 bits, signed True$"):
        buffers.new("wide")
