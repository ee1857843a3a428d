import numpy as np
import pytest

from p2vit.models.blueprint.step import NORMALISED, PIXELS, Sketch


def sketch() -> Sketch:
    made = Sketch({PIXELS: (8, 8, 3)})
    made.add("patches", "Patchify", [PIXELS], (4, 48))
    return made


def test_a_step_inherits_part_home_and_block():
    made = sketch()
    made.within("mlp", "block", 3)
    made.linear("fc1", "patches", 96, "fc1", "fc1", "activation")
    step = made.steps[-1]
    assert (step.part, step.home, step.block, step.shape) == ("mlp", "block", 3, (4, 96))


def test_a_gather_puts_tokens_side_by_side():
    made = sketch()
    made.gather("pairs", "patches", np.array([[0, 1], [2, -1]], np.int32), "stream")
    assert made.shapes["pairs"] == (2, 96)


@pytest.mark.parametrize(("grid", "width"), [("norm1", "activation"), (NORMALISED, "wide")])
def test_a_layernorm_before_its_gain_is_wide(grid, width):
    made = sketch()
    made.norm("norm", "patches", grid)
    assert made.steps[-1].width == width


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="step patches: the name is taken"):
        sketch().add("patches", "Patchify", [PIXELS], (4, 48))


def test_an_input_stands_before_its_reader():
    with pytest.raises(ValueError, match="step add: reads 'later', which no earlier step writes"):
        sketch().add("add", "Add", ["patches", "later"], (4, 48))
