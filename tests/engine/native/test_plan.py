"""The plan of a program, recorded call by call instead of run; this needs no compiler."""

import pytest

from engine.replay.recorder import Recorder
from p2vit.engine.native.plan import PlanBuilder
from p2vit.engine.native.weights import Weights
from support.programs import random_program, windowed_program


def calls(program, *keep):
    """Return the calls of the plan for the output, the feature and the tensors that are kept."""
    recorder = Recorder()
    wanted = frozenset({*keep, program.output, program.feature})
    builder = PlanBuilder(program, wanted, recorder, Weights(recorder, program))
    builder.build()
    return recorder.calls, builder


def stages(found):
    """Return the nodes of each stage, in order."""
    parts = []
    for name, *arguments in found:
        if name == "stage":
            parts.append([])
        elif arguments and isinstance(arguments[0], list):
            parts[-1].append(arguments[0])
    return parts


def test_threads_meet_only_where_rows_of_others_are_read():
    first, second, *_ = found = stages(calls(random_program(depth=2))[0])
    assert first == [["patches"], ["patch_embed", "tokens"], ["tokens"]]
    # Attention needs the keys and values of all rows; every later step works row by row.
    assert second[-2:] == [["blocks.0.attn.scores"], ["blocks.0.attn.values"]]
    attention = next(stage for stage in found if stage[0][0] == "blocks.0.attn.scores")
    assert attention[1:3] == [["blocks.0.attn.proj", "blocks.0.add1"], ["blocks.0.norm2"]]
    assert found[-1][0] == ["pool"]


def test_keys_in_windows_are_not_packed_before():
    names = [name for name, *_ in calls(windowed_program())[0]]
    assert "window_attention" in names
    assert names.count("pack_keys") == names.count("pack_values") == 1  # those of the pooling head


def test_outputs_have_the_programs_order():
    program = random_program(depth=1)
    found, builder = calls(program, "blocks.0.mlp.fc1", "patches")
    assert [spec.name for spec in builder.outputs] == ["patches", "blocks.0.mlp.fc1", "feature", "head"]
    exported = {arguments[0][0]: arguments[-1] for name, *arguments in found if name == "export"}
    assert exported == {"patches": 0, "blocks.0.mlp.fc1": 1, "feature": 2, "head": 3}


def test_a_tensor_that_is_wanted_is_not_fused_away():
    alone = [
        arguments[0]
        for name, *arguments in calls(random_program(depth=1), "blocks.0.mlp.fc1")[0]
        if name == "linear"
    ]
    assert ["blocks.0.mlp.fc1"] in alone
    assert ["blocks.0.attn.proj", "blocks.0.add1"] in alone


def test_refusals_name_the_node():
    program = random_program(depth=1)
    norm = program.node("blocks.0.norm1").operator
    norm.input_shift.setflags(write=True)
    norm.input_shift[:] = 32
    with pytest.raises(
        ValueError, match=r"^native engine: node blocks\.0\.norm1: an input_shift is above 31$"
    ):
        calls(program)
