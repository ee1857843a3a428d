import numpy as np
import pytest

from p2vit.hdl.top.descriptor import DESCRIPTOR_BYTES, Kind
from support.programs import random_pixels
from support.rtl_programs import ODD, compiled, expected, program


@pytest.mark.parametrize("name", ["linear", "registers"])
def test_a_tensor_is_read_back_as_it_is_written(name):
    done = compiled(name, ODD)
    memory = done.image.copy()
    for node in program(name).nodes:
        tensor, layout = expected(name)[node.name][0], done.layouts[node.name]
        memory[layout.base : layout.base + layout.words] = layout.encode(done.matrices(tensor, node.name))
    for node in program(name).nodes:
        found = done.tensor(memory, node.name)
        assert found.dtype == program(name).tensors[node.name].dtype
        assert np.array_equal(found, expected(name)[node.name][0]), node.name


def test_pixels_stand_as_bytes_and_the_stream_as_words():
    done = compiled("linear", ODD)
    pixels = random_pixels(program("linear"), 1)[0]
    flat = done.memory_for(pixels).reshape(-1)
    start = done.pixels * ODD.lines
    assert (flat[start : start + pixels.size] == pixels.reshape(-1)).all()
    assert len(done.stream) == DESCRIPTOR_BYTES * len(done.descriptors)
    assert len(done.stores) == sum(d.kind == Kind.STORE for d in done.descriptors)
