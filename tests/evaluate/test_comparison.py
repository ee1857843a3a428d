import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.evaluate.comparison import compare, first_difference
from support.programs import random_pixels, random_program

PROGRAM = random_program()


class Changed(ReferenceExecutor):
    """Wrong in one tensor of the second image, silent about another."""

    def run(self, pixels, keep=()):
        found = super().run(pixels, keep)
        found.pop("blocks.0.norm1")
        wrong = found["blocks.1.add1"].copy()
        wrong[1, 2, 3:5] -= 1
        return found | {"blocks.1.add1": wrong}


def test_the_same_is_the_same():
    executors = {"a": ReferenceExecutor(PROGRAM), "b": ReferenceExecutor(PROGRAM)}
    found = compare(PROGRAM, executors, [random_pixels(PROGRAM, 2)], 2)
    assert (found.mismatches, found.images) == (0, 2)
    assert found.tensors_compared == len(PROGRAM.nodes)
    assert found.values_compared > 1000


def test_a_difference_is_located():
    executors = {"a": ReferenceExecutor(PROGRAM), "b": Changed(PROGRAM)}
    found = compare(PROGRAM, executors, [random_pixels(PROGRAM, 2), random_pixels(PROGRAM, 2, seed=1)], 4)
    assert found.mismatches == 1
    assert found.tensors_compared == len(PROGRAM.nodes) - 1
    row = found.first_mismatches[0]
    assert (row.tensor, row.backend, row.index, row.differing) == ("blocks.1.add1", "b", [1, 2, 3], 4)
    assert row.actual == row.expected - 1


def test_other_shapes_and_floats_are_differences():
    x = np.zeros((2, 3), np.int8)
    assert first_difference("t", "b", x, np.zeros((2, 4), np.int8), 0).actual == "int8 [2, 4]"
    assert first_difference("t", "b", x, x.astype(float), 0).actual == "float64 [2, 3]"
    assert first_difference("t", "b", x, x.astype(np.int32), 0) is None
