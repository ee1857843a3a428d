import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from support.programs import random_pixels, random_program


class Counting(ReferenceExecutor):
    """Counts how many tensors are alive at once."""

    def __init__(self, program):
        super().__init__(program)
        self.stored = []

    def store(self, value):
        self.stored.append(value)
        return value


def test_only_what_is_asked_for_is_kept():
    program = random_program()
    executor = Counting(program)
    kept = executor.run(random_pixels(program, 2), ["blocks.0.attn.q"])
    assert set(kept) == {"blocks.0.attn.q", "feature", "head"}
    assert len(executor.stored) == 3


def test_a_tensor_that_the_program_does_not_have_is_refused():
    program = random_program()
    with pytest.raises(
        ProgramError,
        match=r"^keep names 'blocks\.0\.attn\.qq', which is not a tensor of the program\. Did you mean "
        r"'blocks\.0\.attn\.q'\? Its tensors: pixels, .* and \d+ more$",
    ):
        ReferenceExecutor(program).run(random_pixels(program, 1), ["blocks.0.attn.qq"])


def test_logits():
    program = random_program()
    pixels = random_pixels(program, 3)
    logits = ReferenceExecutor(program).logits(pixels)
    assert logits.shape == (3, 5)
    assert logits.dtype == np.int32


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 12, 3)), np.zeros((8, 12, 3), np.uint8)]
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match=r"expected uint8 \[batch, 8, 12, 3\]"):
        ReferenceExecutor(random_program()).run(pixels)
