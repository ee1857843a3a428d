"""For all arguments, the compiled part raises an error or computes something; it never ends the process."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.numerics import Add, Linear, SelectToken
from p2vit.program.graph import Node
from support.programs import random_pixels, random_program, windowed_program
from support.tiers import extended

compiled = pytest.importorskip("p2vit.engine.native._native")
ISAS = [name for name, reason in instruction_sets().items() if not reason]
REFUSALS = (
    ValueError,
    TypeError,
    KeyError,
    MemoryError,
    IndexError,
    RuntimeError,
    AssertionError,
    AttributeError,
)
POOL = compiled.Pool(2, 100)

small = st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33])
buffers = st.integers(-1, 7)
arrays = {
    dtype: st.builds(
        lambda size, seed, dtype=dtype: np.random.default_rng(seed).integers(0, 3, size).astype(dtype),
        st.sampled_from([0, 1, 2, 16, 17, 34, 256, 768]),
        st.integers(0, 3),
    )
    for dtype in ("uint8", "uint16", "int8", "int16", "int32")
}


@st.composite
def weights(draw):
    outputs, inputs, bits = (
        draw(st.integers(1, 40)),
        draw(st.integers(1, 40)),
        draw(st.sampled_from([8, 16, 32])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    part = (
        rng.integers(-8, 8, (outputs, inputs)).astype(np.int8),
        np.zeros(outputs, np.int32),
        np.ones(outputs, np.int8),
    )
    return compiled.pack([part], bits, draw(st.booleans()))


residuals = st.none() | st.fixed_dictionaries(
    {
        "out_bits": st.sampled_from([8, 16, 32]),
        "left_own": arrays["int32"],
        "left_residual": arrays["int32"],
        "shift": arrays["int32"],
    },
    optional={"buffer": buffers, "constant": arrays["int16"]},
)
names = st.just(["x"])
buffers = st.tuples(buffers, small)


def call(name, *arguments, **named):
    """Draw random arguments of a call of the plan: positional ones, and keywords."""
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(named))


heads = {"heads": small, "dim": small}
division = {
    **heads,
    "count": small,
    "softmax_shift": arrays["int32"],
    "out_shift": arrays["int32"],
    "log2": st.booleans(),
    "guard": small,
    "scores_output": st.integers(-2, 2),
    "codes_output": st.integers(-2, 2),
}
packing = {"column": small, **heads, "keys": small, "out": buffers}
calls = st.one_of(
    call("buffer", small, small, st.sampled_from(["int8", "int16", "int32", "no"])),
    call("packed_keys", small, small, small),
    call("packed_values", small, small, small),
    call("output", st.sampled_from([0, 1, 16, 64, 256])),
    call("stage", small, small),
    call("patches", names, buffers, small),
    call(
        "linear",
        names,
        weights(),
        buffers,
        buffers,
        out_row_offset=small,
        table=st.none() | arrays["uint8"],
        residual=residuals,
    ),
    call(
        "layernorm",
        names,
        buffers,
        buffers,
        input_shift=arrays["uint8"],
        table=arrays["uint16"],
        shift=arrays["int32"],
        input_bits=small,
        out_bits=small,
        epsilon=small,
        epsilon_shift=small,
        squares_shift=small,
    ),
    call("pack_keys", names, buffers, **packing),
    call("pack_values", names, buffers, **packing),
    call(
        "attention",
        names,
        queries=buffers,
        keys=buffers,
        values=buffers,
        out=buffers,
        out_bits=small,
        **division,
    ),
    call(
        "window_attention",
        names,
        queries=buffers,
        keys=buffers,
        values=buffers,
        out=buffers,
        windows=small,
        out_bits=st.sampled_from([8, 16]),
        bias=arrays["int32"],
        regions=arrays["int8"],
        masked=arrays["int32"],
        biased_output=st.integers(-2, 2),
        **division,
    ),
    call("gather", names, buffers, buffers, arrays["int32"], arrays["int16"]),
    call("requantize", names, buffers, buffers, arrays["int32"]),
    call("lookup", names, buffers, buffers, arrays["uint8"]),
    call(
        "add",
        names,
        buffers,
        buffers,
        buffers,
        left_a=arrays["int32"],
        left_b=arrays["int32"],
        shift=arrays["int32"],
    ),
    call(
        "affine", names, buffers, buffers, gain=arrays["int32"], bias=arrays["int32"], shift=arrays["int32"]
    ),
    call(
        "rotary",
        names,
        buffers,
        buffers,
        pairs=small,
        cosine=arrays["int16"],
        sine=arrays["int16"],
        shift=arrays["int32"],
    ),
    call("multiply", names, buffers, buffers, buffers, offset=arrays["int32"], shift=arrays["int32"]),
    call("constant_rows", names, buffers, arrays["int16"], small),
    call("position", names, buffers, buffers, small, arrays["int16"]),
    call("select", names, buffers, buffers, small),
    call("token_sum", names, buffers, buffers, first=small, count=small, shift=arrays["int32"]),
    call("export", names, buffers, column=small, columns=small, output=st.integers(-1, 2)),
)


@pytest.mark.parametrize("isa", extended(ISAS, quick=[ISAS[-1]]))
@given(st.lists(calls, min_size=1, max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_calls(isa, sequence):
    plan, sizes = compiled.Plan(POOL, isa, 4, 4, 3, 8), []
    # Buffers and a stage, so that calls get past the first check.
    plan.buffer(16, 3, "int8")
    plan.buffer(16, 16, "int8")
    plan.buffer(16, 16, "int16")
    plan.stage(0, 16)
    plan.patches(["p"], 0, 1)
    for name, arguments, named in sequence:
        try:
            getattr(plan, name)(*arguments, **named)
        except REFUSALS:
            continue
        if name == "output":
            sizes.append(arguments[0])
    try:
        plan.finish()
        plan.run(np.zeros((3, 4, 4, 3), np.uint8), [np.empty((3, size), np.uint8) for size in sizes])
        plan.run(np.zeros((3, 4, 4, 3), np.uint8), [np.empty((3, size + 1), np.uint8) for size in sizes])
    except REFUSALS:
        pass


def damaged(operator, rng):
    """Return a copy with one field replaced, without validation."""
    twin = copy.copy(operator)
    field = rng.choice(list(vars(operator)))
    value = getattr(operator, field)
    if isinstance(value, np.ndarray):
        choices = [
            value[: len(value) // 2],
            np.repeat(value, 2, axis=0),
            value.astype(np.int64) * 1000,
            value.ravel(),
            value[..., None],
            -value.astype(np.int64),
            np.zeros(0, value.dtype),
        ]
    elif isinstance(value, str):
        choices = ["linear", "log2", "other"]
    else:
        choices = [-1, 0, 1, 3, 7, 8, 16, 32, 1 << 20, 1 << 40]
    object.__setattr__(twin, field, choices[rng.integers(len(choices))])
    return twin


@pytest.mark.parametrize("isa", extended(ISAS, quick=[ISAS[-1]]))
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_damaged_programs(isa, seed):
    rng = np.random.default_rng(seed)
    form = str(rng.choice(["linear", "log2"]))
    program = windowed_program(form=form) if rng.integers(2) else random_program(depth=1, form=form)
    nodes, tensors = list(program.nodes), dict(program.tensors)
    for _ in range(rng.integers(1, 3)):
        index = int(rng.integers(len(nodes)))
        node = nodes[index]
        match rng.integers(4):
            case 0 | 1:
                nodes[index] = Node(node.name, damaged(node.operator, rng), node.inputs)
            case 2:
                inputs = tuple(str(rng.choice(list(tensors))) for _ in node.inputs[: int(rng.integers(1, 3))])
                nodes[index] = Node(node.name, node.operator, inputs)
            case 3:
                spec = tensors[node.name]
                shape = tuple(int(rng.choice([1, 2, n, n + 1, 2 * n])) for n in spec.shape)
                tensors[node.name] = replace(
                    spec, shape=shape, exponent=np.int8(0), bits=int(rng.choice([4, 8, 16, 32]))
                )
    broken = replace(program, nodes=tuple(nodes), tensors=tensors)
    try:
        executor = NativeExecutor(broken, threads=2, isa=isa)
        executor.run(random_pixels(program, 3), [node.name for node in nodes])
    except (*REFUSALS, OverflowError):
        pass


def test_the_message_names_the_node():
    program = random_program()
    bad = copy.copy(program.node("blocks.0.mlp.fc1").operator)
    object.__setattr__(bad, "bias", np.zeros(3, np.int32))
    nodes = [Node(n.name, bad, n.inputs) if n.name == "blocks.0.mlp.fc1" else n for n in program.nodes]
    with pytest.raises(ValueError, match=r"node blocks.0.mlp.fc1: weight, bias and shift do not fit"):
        NativeExecutor(replace(program, nodes=tuple(nodes)), threads=1)
    assert isinstance(bad, Linear)


def test_an_unknown_operator_is_named():
    class Mystery(SelectToken):
        pass

    program = random_program()
    nodes = [Node(n.name, Mystery(0), n.inputs) if n.name == "pool" else n for n in program.nodes]
    with pytest.raises(ValueError, match="native engine: node pool: there is no kernel for Mystery"):
        NativeExecutor(replace(program, nodes=tuple(nodes)), threads=1)


def test_a_cycle_is_refused():
    program = random_program(depth=1)
    node = program.node("blocks.0.add1")
    assert isinstance(node.operator, Add)
    nodes = [
        Node(n.name, n.operator, ("blocks.0.add2", n.inputs[1])) if n is node else n for n in program.nodes
    ]
    with pytest.raises(ValueError, match="reads"):
        NativeExecutor(replace(program, nodes=tuple(nodes)), threads=1)
