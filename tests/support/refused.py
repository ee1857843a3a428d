"""Sound programs that the native engine does not run: more keys than it packs, and graphs that it does not know."""

from collections.abc import Callable

import numpy as np

from p2vit.numerics import (
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    Linear,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
)
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing

IMAGE = (8, 8)


def start(tokens: int, dim: int = 8, seed: int = 0) -> ProgramBuilder:
    """Queries, keys and values [tokens, dim] from the four patches of a photo."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder((*IMAGE, 3))
    builder.add("patches", Patchify(4), [PIXELS], 0, 128)
    for name in "qkv":
        weight, bias = rng.integers(-9, 10, (dim, 48)), rng.integers(-900, 900, dim)
        linear = Linear(weight, bias, np.full(dim, 5), accumulator_exponent=np.full(dim, -9))
        builder.add(f"{name}.four", linear, ["patches"], -4)
        index = rng.integers(0, 4, (4 if name == "q" else tokens, 1))
        builder.add(name, GatherTokens(index, np.zeros(dim, np.int8)), [f"{name}.four"], -4)
    return builder


def attend(builder: ProgramBuilder, name: str, heads: int, scores: str = "") -> None:
    """Scores, softmax and values under a name; or softmax and values on scores that are there."""
    channels = builder.tensors["q"].shape[1]
    if not scores:
        scores = f"{name}.scores"
        builder.add(scores, Scores(heads, channels // heads), ["q", "k"], -8)
    builder.add(f"{name}.softmax", Softmax(np.full(heads, -4)), [scores], -8)
    values = AttentionValues(heads, np.zeros(channels, np.int8))
    builder.add(f"{name}.values", values, [f"{name}.softmax", "v"], -4)


def finish(builder: ProgramBuilder, source: str, classes: int = 3) -> IntegerProgram:
    """One token and a head on it."""
    dim = builder.tensors[source].shape[1]
    builder.add("pool", SelectToken(1), [source], -4)
    weight = np.random.default_rng(1).integers(-128, 128, (classes, dim)).astype(np.int8)
    exponent = np.full(classes, -11)
    head = Linear(weight, np.zeros(classes, int), np.zeros(classes, int), 8, 32, exponent)
    builder.add("head", head, ["pool"], -11)
    return IntegerProgram(
        tuple(builder.nodes), builder.tensors, "head", "pool", Preprocessing(image_size=IMAGE)
    )


def many_keys() -> IntegerProgram:
    """One key more than the engine packs."""
    builder = start(32768, dim=1)
    attend(builder, "a", 1)
    return finish(builder, "a.values")


def many_heads() -> IntegerProgram:
    """More heads than it knows."""
    builder = start(4, dim=1025)
    attend(builder, "a", 1025)
    return finish(builder, "a.values")


def wide_heads() -> IntegerProgram:
    """Heads of more channels than it packs."""
    builder = start(4, dim=4097)
    attend(builder, "a", 1)
    return finish(builder, "a.values")


def scores_read_twice() -> IntegerProgram:
    """Two softmaxes on the same scores."""
    builder = start(6)
    attend(builder, "a", 2)
    attend(builder, "b", 2, scores="a.scores")
    return finish(builder, "b.values")


def softmax_read_twice() -> IntegerProgram:
    """The same codes weigh values and keys."""
    builder = start(6)
    attend(builder, "a", 2)
    builder.add("b.values", AttentionValues(2, np.zeros(8, np.int8)), ["a.softmax", "k"], -4)
    return finish(builder, "b.values")


def scores_for_nothing() -> IntegerProgram:
    """Scores that nobody reads, beside a network that works."""
    builder = start(6)
    attend(builder, "a", 2)
    builder.add("idle", Scores(2, 4), ["k", "k"], -8)
    return finish(builder, "a.values")


def constant_from_scores() -> IntegerProgram:
    """Constant tokens, whose input is read for the number of images alone."""
    builder = start(6)
    builder.add("constant", ConstantTokens(np.arange(16, dtype=np.int8).reshape(2, 8)), ["patches"], -4)
    builder.add("idle", Scores(2, 4), ["constant", "k"], -8)
    return finish(builder, "constant")


REFUSED: dict[str, Callable[[], IntegerProgram]] = {
    make.__name__: make
    for make in (
        many_keys,
        many_heads,
        wide_heads,
        scores_read_twice,
        softmax_read_twice,
        scores_for_nothing,
        constant_from_scores,
    )
}
