"""The proof that a masked key weighs exactly 0."""

import numpy as np

from p2vit.numerics import AttentionValues, ScoreBias, Softmax
from p2vit.numerics.rounding import shift_round
from p2vit.numerics.softmax import LARGEST_DISTANCE, LARGEST_LOG2_CODE
from p2vit.program.graph import IntegerProgram
from p2vit.program.ranges import NodeRanges

#: Codes up to the guard stand for a power of two: from here down the least code stands for nothing.
LARGEST_GUARD = LARGEST_LOG2_CODE - 1


def mask_problems(program: IntegerProgram, ranges: dict[str, NodeRanges]) -> list[str]:
    """Masked keys that a photo could give weight to, in words; empty if there are none.

    A row's maximum is at least the lowest score that an unmasked key can have, because every token sees
    itself. Below that by the largest distance, the code is the least: 0 for ``linear``; 15 for ``log2``,
    which weighs 0 where the guard is below 15.

    Args:
        program: A sound program.
        ranges: What was proved of its tensors.
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
