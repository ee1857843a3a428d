import numpy as np

from p2vit.numerics import Linear, Patchify
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from p2vit.program.ranges import NodeRanges, proven_ranges
from support.programs import random_program


def two_layers(weight: int) -> IntegerProgram:
    builder = ProgramBuilder((1, 1, 3))
    zero = np.zeros(1, int)
    builder.add("patches", Patchify(1), [PIXELS], 0, 128)
    builder.add("a", Linear(np.full((1, 3), weight), zero, zero), ["patches"], 0)
    builder.add("b", Linear(np.full((1, 1), weight), zero, zero, output_bits=32), ["a"], 0)
    return IntegerProgram(tuple(builder.nodes), builder.tensors, "b", "a", Preprocessing(image_size=(1, 1)))


def test_ranges_go_from_node_to_node():
    reach = proven_ranges(two_layers(2))
    assert reach["patches"].output == (-128, 127)
    assert reach["a"].accumulator == (-768, 762)
    assert reach["a"].output == (-128, 127)  # saturated
    assert reach["b"].output == (-256, 254)
    assert proven_ranges(two_layers(0))["b"].output == (0, 0)


def test_attention_counts_the_keys_of_the_graph():
    program = random_program()
    reach = proven_ranges(program)["blocks.0.attn.values"]
    assert reach.registers["sum"] == (0, 7 * 255)


def test_registers():
    reach = NodeRanges((-5, 5), {"accumulator": (-300, 20), "product": (0, 1 << 31)})
    assert reach.accumulator == (-300, 20)
    assert reach.widest == ("product", 33)
    assert reach.overflows == ["product"]
    assert NodeRanges((-5, 5), {}).accumulator == (-5, 5)
    assert NodeRanges((-5, 5), {}).widest == ("output", 4)
