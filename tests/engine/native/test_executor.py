"""Every tensor of whole programs equals the reference's, on every instruction set, thread count and batch size."""

import threading

import numpy as np
import pytest

from p2vit.engine.native import executor as native
from p2vit.engine.native.executor import (
    NativeExecutor,
    NativeUnavailableError,
    choose_isa,
    self_test,
    status,
)
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ProgramError
from p2vit.numerics import AttentionValues, ConstantTokens, Patchify, Scores, Softmax
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from support.programs import WINDOWED, random_pixels, random_program, windowed_program

ISAS = [name for name, reason in native.instruction_sets().items() if not reason]
pytestmark = pytest.mark.skipif(not ISAS, reason="the native engine was not built")

PROGRAMS = {
    "plain": {},
    "log2": {"form": "log2"},
    "W4": {"weight_bits": 4},
    "W4 log2": {"weight_bits": 4, "form": "log2", "prefix": 5},
    "mean": {"pool": "mean", "prefix": 0},
    "odd": {"image": (20, 28), "dim": 45, "heads": 3, "mlp": 37, "prefix": 2, "classes": 1},
    "odd heads": {"image": (12, 4), "patch": 2, "dim": 21, "heads": 7, "mlp": 13, "prefix": 3},
    "many keys": {"image": (28, 28), "patch": 2, "dim": 24, "heads": 2, "mlp": 50, "depth": 1},
    "wide": {"dim": 192, "heads": 3, "mlp": 400, "depth": 1, "classes": 100},
}


def agree(program, pixels, **options):
    """Compare all tensors, and the logits alone: the first plan is not fused, the second one is."""
    names = [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(pixels, names)
    executor = NativeExecutor(program, **options)
    for keep in (names, (), names[4:7]):
        got = executor.run(pixels, keep)
        assert set(got) == {*keep, program.output, program.feature}
        for name, value in got.items():
            assert value.dtype == expected[name].dtype, name
            assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_tensor(name, isa):
    program = random_program(**PROGRAMS[name], seed=len(name))
    pixels = random_pixels(program, 3)
    pixels[0] = 255
    agree(program, pixels, isa=isa, threads=2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("options", WINDOWED, ids=str)
def test_windows_merging_and_a_pooling_head(options, isa):
    program = windowed_program(**options)
    agree(program, random_pixels(program, 1), isa=isa, threads=2, chunk_rows=8)
    agree(program, random_pixels(program, 3, 1), isa=isa, threads=1)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("isa", ISAS)
def test_threads_and_batches(isa, batch, threads):
    program = random_program(image=(20, 28), prefix=2)
    agree(program, random_pixels(program, batch, batch), isa=isa, threads=threads, chunk_rows=8)


@pytest.mark.parametrize("weight_bits", [4, 8])
@pytest.mark.parametrize("form", ["linear", "log2"])
def test_a_whole_deit_tiny(form, weight_bits):
    program = random_program(
        image=(224, 224),
        patch=16,
        dim=192,
        heads=3,
        mlp=768,
        depth=2,
        classes=100,
        form=form,
        weight_bits=weight_bits,
    )
    agree(program, random_pixels(program, 2), threads=2)


def test_an_empty_batch():
    program = random_program()
    got = NativeExecutor(program, threads=2).run(random_pixels(program, 0))
    assert got[program.output].shape == (0, 1, 5)


def test_pixels_need_not_be_contiguous():
    program = random_program(image=(8, 8))
    pixels = random_pixels(program, 3)
    turned = np.ascontiguousarray(pixels.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    executor = NativeExecutor(program, threads=1)
    assert np.array_equal(executor.logits(turned), executor.logits(pixels))
    assert np.array_equal(executor.logits(pixels[::-1]), executor.logits(pixels)[::-1])


def test_pixels_of_another_kind_are_refused():
    executor = NativeExecutor(random_program(), threads=1)
    for pixels in (
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((1, 8, 12, 3), np.int8),
        np.zeros((8, 12, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"expected uint8 \[batch, 8, 12, 3\]"):
            executor.run(pixels)


def test_a_tensor_that_the_program_does_not_have_is_refused():
    program = random_program()
    executor, pixels = NativeExecutor(program, threads=1), random_pixels(program, 1)
    assert set(executor.run(pixels, keep=["pixels"])) == {"feature", "head"}
    with pytest.raises(
        ProgramError, match=r"^keep names 'nose', which is not a tensor of the program\. Its tensors"
    ):
        executor.run(pixels, keep=["nose"])


def test_several_python_threads_share_an_executor():
    program = random_program(image=(20, 28))
    executor = NativeExecutor(program, threads=2)
    batches = [random_pixels(program, count, seed) for seed, count in enumerate([1, 2, 3, 5] * 2)]
    expected = [ReferenceExecutor(program).logits(pixels) for pixels in batches]
    wrong = []

    def work(index):
        for _ in range(20):
            got = executor.run(batches[index], ["blocks.0.attn.q"] if index % 2 else ())[program.output]
            if not np.array_equal(got.reshape(len(got), -1), expected[index]):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(batches))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_profile_names_every_costly_node():
    program = random_program(image=(20, 28))
    executor = NativeExecutor(program, threads=2)
    executor.set_profiling()
    executor.run(random_pixels(program, 3))
    times = executor.profile()
    assert set(times) == {node.name for node in program.nodes}
    for name in ("patch_embed", "blocks.0.norm1", "blocks.1.attn.softmax", "blocks.0.mlp.fc1", "head"):
        assert times[name] > 0, name
    executor.set_profiling(False)
    executor.run(random_pixels(program, 1))
    assert executor.profile() == times


def test_memory_is_planned():
    executor = NativeExecutor(random_program(), threads=2)
    before = executor.memory
    executor.run(random_pixels(executor.program, 8))
    assert executor.memory == before
    assert before["weights"] > 0
    assert before["arena"] > 0


def test_status_says_what_runs():
    report = status()
    assert report["available"]
    assert report["isa"] == choose_isa()
    assert report["self_test"]["scalar"] == "passed"
    assert all(report["self_test"][isa] == "passed" for isa in ISAS)


def test_an_instruction_set_can_be_forced(monkeypatch):
    monkeypatch.setenv("P2VIT_ISA", "scalar")
    assert NativeExecutor(random_program(), threads=1).isa == "scalar"
    monkeypatch.setenv("P2VIT_ISA", "mmx")
    with pytest.raises(NativeUnavailableError, match=r"P2VIT_ISA is 'mmx'; allowed are .*scalar"):
        NativeExecutor(random_program(), threads=1)


def test_a_set_that_fails_its_self_test_is_passed_over(monkeypatch):
    best = ISAS[0]
    monkeypatch.setattr(native, "self_test", lambda isa: "made up" if isa == best else self_test(isa))
    if len(ISAS) > 1:
        assert choose_isa() == ISAS[1]
    assert status()["self_test"][best] == "failed: made up"
    monkeypatch.setenv("P2VIT_ISA", best)
    with pytest.raises(NativeUnavailableError, match="self-test failed: made up"):
        choose_isa()


def test_without_the_compiled_part(monkeypatch):
    monkeypatch.setattr(native, "_native", None)
    assert not status()["available"]
    assert "was not built" in status()["reason"]
    with pytest.raises(NativeUnavailableError, match="use the reference or torch executor"):
        NativeExecutor(random_program())


@pytest.mark.parametrize("threads", [0, -1, 100000])
def test_threads_are_bounded(threads):
    with pytest.raises(ValueError, match="threads must be"):
        NativeExecutor(random_program(), threads=threads)


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_keys_and_values_that_are_constants_are_packed_before_they_are_read(form):
    rng = np.random.default_rng(0)
    builder = ProgramBuilder((6, 7, 3))
    builder.add("q", Patchify(1), [PIXELS], 0)
    for name in "kv":
        builder.add(name, ConstantTokens(rng.integers(-128, 128, (42, 3)).astype(np.int8)), ["q"], 0)
    builder.add("scores", Scores(1, 3), ["q", "k"], 0)
    builder.add("softmax", Softmax(np.array([2], np.int8), form), ["scores"], 0)
    builder.add("values", AttentionValues(1, np.zeros(3, np.int8), form, 14), ["softmax", "v"], 0)
    preprocessing = Preprocessing(image_size=(6, 7))
    program = IntegerProgram(tuple(builder.nodes), builder.tensors, "values", "values", preprocessing)
    pixels = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    expected = ReferenceExecutor(program).run(pixels)["values"]
    for threads in (1, 2, 4):
        executor = NativeExecutor(program, threads=threads, chunk_rows=4)
        for _ in range(20):
            assert np.array_equal(executor.run(pixels)["values"], expected)
