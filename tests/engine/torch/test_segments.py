"""Compiled segments: where a program is cut, what shares a function, and that the integers are the same."""

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conformance.cases import TABLE  # noqa: E402
from p2vit.engine.reference import ReferenceExecutor  # noqa: E402
from p2vit.engine.torch.executor import TorchExecutor  # noqa: E402
from p2vit.engine.torch.segments import sibling_layers, split  # noqa: E402
from support.programs import WINDOWED, random_pixels, random_program, windowed_program  # noqa: E402
from support.tiers import extended  # noqa: E402
from support.torch_on_gpu import as_on_a_gpu  # noqa: E402


def test_a_program_is_cut_at_the_residual_stream():
    program = random_program(depth=3)
    segments = split(program)
    assert [node.name for segment in segments for node in segment.nodes] == [
        node.name for node in program.nodes
    ]
    names = [segment.nodes[-1].name for segment in segments]
    assert names[1:7] == [f"blocks.{i}.add{j}" for i in range(3) for j in (1, 2)]
    for before, after in pairwise(segments):
        assert after.inputs == before.outputs


@pytest.mark.parametrize("options", WINDOWED, ids=str)
def test_every_segment_has_what_it_reads(options):
    program = windowed_program(**options)
    ready = {"pixels"}
    for segment in split(program):
        assert set(segment.inputs) <= ready
        ready |= set(segment.outputs)
    assert set(program.results) <= ready


def test_queries_keys_and_values_are_computed_together():
    program = random_program(depth=1)
    groups = [group for segment in split(program) for group in sibling_layers(segment)]
    assert [[node.name for node in group] for group in groups] == [
        [f"blocks.0.attn.{name}" for name in "qkv"]
    ]


def interpreted(graph, arguments):
    """Run the traced graph as it is, without the compiler, which takes minutes."""
    return graph


@pytest.mark.parametrize("gpu", extended([False, True], quick=[True]))
@pytest.mark.parametrize("options", [{"depth": 3}, {"form": "log2", "weight_bits": 4, "pool": "mean"}])
def test_the_traced_segments_are_exact(options, gpu, monkeypatch):
    """What the compiler gets: functions that segments of equal structure share, with parameters as arguments."""
    if gpu:
        as_on_a_gpu(monkeypatch)
    monkeypatch.setattr("torch._inductor.compile", interpreted)
    program = random_program(**options)
    executor = TorchExecutor(program, compiled=True)
    for batch in (3, 1, 3):
        pixels = random_pixels(program, batch, seed=batch)
        expected, found = ReferenceExecutor(program).run(pixels), executor.run(pixels)
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            assert np.array_equal(found[name], value), name


@pytest.mark.extended
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_every_operator_can_be_traced(operator, gpu, monkeypatch):
    if gpu:
        as_on_a_gpu(monkeypatch)
    monkeypatch.setattr("torch._inductor.compile", interpreted)
    program = TABLE[operator].program(0)
    pixels = random_pixels(program, 2)
    expected, found = (
        ReferenceExecutor(program).run(pixels),
        TorchExecutor(program, compiled=True).run(pixels),
    )
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value), name


def test_layers_with_other_parameters_share_a_function(monkeypatch):
    monkeypatch.setattr("torch._inductor.compile", interpreted)
    program = random_program(depth=6)
    executor = TorchExecutor(program, compiled=True)
    executor.run(random_pixels(program, 2))
    assert len(executor._forward._functions) < len(executor._forward.segments)


@pytest.mark.slow
def test_the_compiled_segments_are_exact():
    program = random_program(depth=1)
    pixels = random_pixels(program, 2)
    expected, found = (
        ReferenceExecutor(program).run(pixels),
        TorchExecutor(program, compiled=True).run(pixels),
    )
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


def test_replays_record_at_the_second_run_of_a_batch_size(monkeypatch):
    """The bookkeeping around CUDA graphs; the graphs themselves need a GPU."""
    from p2vit.engine.torch import replay

    recorded = []

    class Recorded:
        def __init__(self, forward, pixels):
            recorded.append(len(pixels))
            self.forward = forward

        def __call__(self, pixels):
            return self.forward(pixels)

    monkeypatch.setattr(replay, "Replay", Recorded)
    replays = replay.Replays(lambda pixels: {"sum": pixels.sum()})
    for size in (8, 8, 8, 3, 8, 1, 1, 2, 2, 4, 4, 5, 5, 8):
        assert replays(torch.ones(size))["sum"] == size
    assert recorded == [8, 1, 2, 4, 5, 8]
    assert len(replays._graphs) == replay.KEPT
