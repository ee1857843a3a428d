import numpy as np

from p2vit.engine.reference import ReferenceExecutor
from p2vit.evaluate.comparison import SUBSETS, compare, first_difference
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


class Forgetful(ReferenceExecutor):
    """Right when everything is asked for; forgets rows of one tensor where another is not."""

    plans_by_keep = True
    asked: list

    def run(self, pixels, keep=()):
        keep = list(keep)
        self.asked = [*getattr(self, "asked", []), keep]
        found = super().run(pixels, keep)
        name = "blocks.1.attn.softmax"
        if name in found and "blocks.1.attn.values" not in found:
            found[name] = found[name].copy()
            found[name][:, :, 1:] = 0
        return found


def test_what_is_wrong_only_when_others_are_not_asked_for_is_found():
    batches = [random_pixels(PROGRAM, 1, seed) for seed in range(4)]
    for first in ("a", "b"):  # the first back-end is asked for sets, too
        executors = {"a": ReferenceExecutor(PROGRAM), "b": ReferenceExecutor(PROGRAM)}
        executors[first] = Forgetful(PROGRAM)
        found = compare(PROGRAM, executors, batches, 4, subsets=12)
        assert (found.mismatches, found.subset_mismatches, found.subsets_compared) == (1, 1, 48)
        row = found.first_mismatches[0]
        assert (row.tensor, row.backend) == ("blocks.1.attn.softmax", first)


def test_the_sets_are_those_of_the_seed():
    asked = []
    for seed in (0, 0, 1):
        executor = Forgetful(PROGRAM)
        executors = {"a": ReferenceExecutor(PROGRAM), "b": executor}
        compare(PROGRAM, executors, [random_pixels(PROGRAM, 1)], 1, seed=seed)
        asked.append(executor.asked)
    assert asked[0] == asked[1] != asked[2]
    assert len(asked[0]) == 1 + SUBSETS
    assert {len(names) for names in asked[0][1:]} != {len(PROGRAM.nodes)}


def test_costly_plans_are_made_once():
    executor = Forgetful(PROGRAM)
    executor.plans_are_costly = True
    batches = [random_pixels(PROGRAM, 1, seed) for seed in range(3)]
    found = compare(PROGRAM, {"a": ReferenceExecutor(PROGRAM), "b": executor}, batches, 3)
    assert (found.subsets_compared, len(executor.asked)) == (1, 4)
