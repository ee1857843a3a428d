"""Prove that the weight of a masked key is exactly 0."""

import numpy as np

from p2vit.numerics import AttentionValues, ScoreBias, Softmax
from p2vit.numerics.rounding import shift_round
from p2vit.numerics.softmax import LARGEST_DISTANCE, LARGEST_LOG2_CODE
from p2vit.program.graph import IntegerProgram
from p2vit.program.ranges import NodeRanges

#: Largest guard for which the smallest attention weight's code, 15, means exactly 0.
LARGEST_GUARD = LARGEST_LOG2_CODE - 1


def mask_problems(program: IntegerProgram, ranges: dict[str, NodeRanges]) -> list[str]:
    """List the masked keys that could get a weight above 0 for some photo, as texts; empty if there are none.

    Every token attends to itself, so a row's maximum is at least the lowest possible score of an unmasked key. A score
    that is lower by the largest distance gets the code 0 (``linear``) or 15 (``log2``). Code 15 means the weight 0 if
    the guard is below 15.

    Args:
        program: A program without structural problems.
        ranges: Proven ranges of its nodes.
    """
    problems = []
    for node in program.of_kind(ScoreBias):
        operator = node.operator
        assert isinstance(operator, ScoreBias)
        if operator.mask is None:
            continue
        lowest = ranges[node.inputs[0]].output[0] + operator.bias.astype(np.int64).min(axis=(1, 2))
        for softmax in program.of_kind(Softmax):
            if node.name not in softmax.inputs:
                continue
            shift = getattr(softmax.operator, "shift").astype(np.int64)  # noqa: B009
            distance = shift_round(lowest - operator.masked.astype(np.int64), shift)
            if (distance < LARGEST_DISTANCE).any():
                head = int(np.argmin(distance))
                problems.append(
                    f"{node.name}: a masked key of head {head} may be only {int(distance[head])} steps below the "
                    f"row's maximum, not {LARGEST_DISTANCE}, and so get weight; lower its masked score"
                )
            for values in program.of_kind(AttentionValues):
                reader = values.operator
                assert isinstance(reader, AttentionValues)
                log2 = reader.form == "log2" and softmax.name == values.inputs[0]
                if log2 and reader.guard > LARGEST_GUARD:
                    problems.append(
                        f"{values.name}: with a guard of {reader.guard} a masked key weighs 1, not 0; "
                        f"use at most {LARGEST_GUARD}"
                    )
    return problems
