"""Each kernel at odd sizes, compared with the reference operator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2vit.engine import native
from p2vit.engine.native.weights import column_tables, int32, part_of
from p2vit.numerics import Add, AttentionValues, LayerNorm, Linear, Lookup, Scores, Softmax
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.numerics.layernorm import rsqrt_table, squares_shift

compiled = pytest.importorskip("p2vit.engine.native._native")
ISAS = [name for name, reason in native.instruction_sets().items() if not reason]
POOLS = {threads: compiled.Pool(threads, 100) for threads in (1, 2)}
examples = settings(max_examples=25, deadline=None)
seeds, threads_used = st.integers(0, 2**32 - 1), st.sampled_from([1, 2])
fills = st.sampled_from(["random", "low", "high", "mixed"])


def filled(rng, shape, fill, dtype=np.int8):
    info = np.iinfo(dtype)
    if fill == "random":
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    if fill == "mixed":
        return np.where(rng.integers(0, 2, shape), info.min, info.max).astype(dtype)
    return np.full(shape, info.min if fill == "low" else info.max, dtype)


class Harness:
    """A plan whose inputs are given tensors."""

    def __init__(self, isa, threads=1, chunk_rows=8):
        self.plan = compiled.Plan(POOLS[threads], isa, 1, 1, 1, chunk_rows)
        self.outputs = []

    def feed(self, x):
        buffer = self.plan.buffer(*x.shape, str(x.dtype))
        self.plan.stage(0, len(x))
        self.plan.constant_rows(["x"], buffer, x.astype(np.int16).ravel(), len(x))
        return buffer

    def show(self, buffer, shape, dtype):
        array = np.empty((1, *shape), dtype)
        self.plan.export(["y"], buffer, column=0, columns=shape[1], output=self.plan.output(array.nbytes))
        self.outputs.append(array)
        return array

    def run(self):
        self.plan.finish()
        self.plan.run(np.zeros((1, 1, 1, 1), np.uint8), self.outputs)


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=seeds,
    rows=st.integers(1, 40) | st.sampled_from([197, 257, 300, 600]),
    inputs=st.integers(1, 130) | st.sampled_from([588, 1536]),
    outputs=st.integers(1, 130),
    bits=st.sampled_from([8, 16, 32]),
    weight_bits=st.sampled_from([4, 8]),
    fill=fills,
    threads=threads_used,
    chunk_rows=st.sampled_from([8, 52, 1024]),
)
@examples
def test_linear(isa, seed, rows, inputs, outputs, bits, weight_bits, fill, threads, chunk_rows):
    rng = np.random.default_rng(seed)
    weight = np.clip(
        filled(rng, (outputs, inputs), fill), -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1
    )
    shift = np.zeros(outputs, int) if bits == 32 else rng.integers(0, 24, outputs)
    operator = Linear(weight, rng.integers(-(2**20), 2**20, outputs), shift, weight_bits, bits)
    x = filled(rng, (rows, inputs), fill)
    h = Harness(isa, threads, chunk_rows)
    source = h.feed(x)
    out = h.plan.buffer(rows, outputs, f"int{bits}")
    h.plan.stage(0, rows)
    h.plan.linear(["y"], compiled.pack([part_of(operator)], bits, weight_bits == 4), source, out)
    got = h.show(out, (rows, outputs), f"int{bits}")
    h.run()
    assert np.array_equal(got, operator.compute(x[None]))


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=seeds,
    rows=st.integers(1, 70),
    outputs=st.integers(1, 100),
    own=st.sampled_from([8, 16]),
    other=st.sampled_from([8, 16]),
    bits=st.sampled_from([8, 16]),
    shifted=st.booleans(),
    fill=fills,
    chunk_rows=st.sampled_from([8, 72]),
)
@examples
def test_linear_with_residual(isa, seed, rows, outputs, own, other, bits, shifted, fill, chunk_rows):
    rng = np.random.default_rng(seed)
    linear = Linear(
        filled(rng, (outputs, 7), fill),
        rng.integers(-9999, 9999, outputs),
        rng.integers(0, 9, outputs),
        8,
        own,
    )
    shifts = [rng.integers(0, 16, outputs) if shifted else np.zeros(outputs, int) for _ in range(3)]
    add = Add(*shifts, bits)
    x, stream = filled(rng, (rows, 7), fill), filled(rng, (rows, outputs), fill, np.dtype(f"int{other}"))
    h = Harness(isa, chunk_rows=chunk_rows)
    source, residual = h.feed(x), h.feed(stream)
    out = h.plan.buffer(rows, outputs, f"int{bits}")
    h.plan.stage(0, rows)
    fused = {
        "buffer": residual,
        "left_own": int32(add.left_b),
        "left_residual": int32(add.left_a),
        "shift": int32(add.shift),
    }
    h.plan.linear(
        ["y"], compiled.pack([part_of(linear)], own, False), source, out, residual={**fused, "out_bits": bits}
    )
    got = h.show(out, (rows, outputs), f"int{bits}")
    h.run()
    assert np.array_equal(got, add.compute(stream[None], linear.compute(x[None])))


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=seeds,
    rows=st.integers(1, 70),
    outputs=st.integers(1, 100) | st.sampled_from([64, 128, 192]),
    fill=fills,
    chunk_rows=st.sampled_from([8, 72]),
)
@examples
def test_linear_with_table(isa, seed, rows, outputs, fill, chunk_rows):
    rng = np.random.default_rng(seed)
    linear = Linear(
        filled(rng, (outputs, 9), fill), rng.integers(-999, 999, outputs), rng.integers(0, 12, outputs)
    )
    table = Lookup(rng.integers(-128, 128, (-(-outputs // 64) if outputs % 64 == 0 else 1, 256)))
    x = filled(rng, (rows, 9), "random")
    h = Harness(isa, chunk_rows=chunk_rows)
    source = h.feed(x)
    out = h.plan.buffer(rows, outputs, "int8")
    h.plan.stage(0, rows)
    h.plan.linear(
        ["y"], compiled.pack([part_of(linear)], 8, False), source, out, table=column_tables(table, outputs)
    )
    got = h.show(out, (rows, outputs), "int8")
    h.run()
    assert np.array_equal(got, table.compute(linear.compute(x[None])))


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=seeds,
    rows=st.integers(1, 12),
    channels=st.integers(2, 300),
    bits=st.sampled_from([8, 16]),
    input_bits=st.sampled_from([4, 8, 12, 16]),
    wide=st.booleans(),
    aligned=st.booleans(),
    spread=st.integers(0, 16),
    epsilon=st.sampled_from([(0, -14), (1, -2), (1 << 20, -2), (1 << 29, 31), (1 << 29, 5)]),
)
@settings(max_examples=60, deadline=None)
def test_layernorm(isa, seed, rows, channels, bits, input_bits, wide, aligned, spread, epsilon):
    rng = np.random.default_rng(seed)
    dtype = np.int16 if wide else np.int8
    x = filled(rng, (rows, channels), "random", dtype) >> min(spread, 15 if wide else 7)
    input_shift = rng.integers(0, 16, channels) if aligned else np.zeros(channels, int)
    op = LayerNorm(
        channels,
        input_shift,
        rsqrt_table(channels)[0],
        rng.integers(14, 31, channels),
        *epsilon,
        input_bits,
        bits,
    )
    h = Harness(isa)
    source = h.feed(x)
    out = h.plan.buffer(rows, channels, f"int{bits}")
    h.plan.stage(0, rows)
    h.plan.layernorm(
        ["y"],
        source,
        out,
        input_shift=op.input_shift.astype(np.uint8),
        table=op.table,
        shift=int32(op.shift),
        input_bits=input_bits,
        out_bits=bits,
        epsilon=epsilon[0],
        epsilon_shift=epsilon[1],
        squares_shift=squares_shift(channels),
    )
    got = h.show(out, (rows, channels), f"int{bits}")
    h.run()
    assert np.array_equal(got, op.compute(x[None]))


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=seeds,
    heads=st.integers(1, 3),
    dim=st.integers(1, 40),
    keys=st.integers(1, 90),
    shift=st.integers(-24, 24),
    form=st.sampled_from(["linear", "log2"]),
    guard=st.integers(8, 15),
    bits=st.sampled_from([8, 16]),
    fill=fills,
    threads=threads_used,
)
@settings(max_examples=60, deadline=None)
def test_attention(isa, seed, heads, dim, keys, shift, form, guard, bits, fill, threads):
    rng = np.random.default_rng(seed)
    channels = heads * dim
    q, k, v = (filled(rng, (keys, channels), fill if i else "random") for i in range(3))
    softmax = Softmax(np.full(heads, shift), form)
    values = AttentionValues(heads, rng.integers(-16, 9, channels), form, guard, bits)
    scores = Scores(heads, dim).compute(q[None], k[None])
    codes = softmax.compute(scores)
    h = Harness(isa, threads)
    sources = [h.feed(x) for x in (q, k, v)]
    packs = [h.plan.packed_keys(heads, dim, keys), h.plan.packed_values(heads, dim, keys)]
    h.plan.stage(0, keys)
    sizes = {"heads": heads, "dim": dim}
    h.plan.pack_keys(["k"], sources[1], column=0, **sizes, keys=keys, out=packs[0])
    h.plan.pack_values(["v"], sources[2], column=0, **sizes, keys=keys, out=packs[1])
    h.plan.stage(0, keys)
    out = h.plan.buffer(keys, channels, f"int{bits}")
    h.outputs += [np.empty_like(scores), np.empty_like(codes)]
    shown = [h.plan.output(x.nbytes) for x in h.outputs]
    h.plan.attention(
        ["s", "p", "y"],
        queries=(sources[0], 0),
        keys=packs[0],
        values=packs[1],
        out=out,
        **sizes,
        count=keys,
        softmax_shift=int32(softmax.shift),
        out_shift=int32(values.shift) + QUOTIENT_FRACTION,
        log2=form == "log2",
        guard=guard,
        out_bits=bits,
        scores_output=shown[0],
        codes_output=shown[1],
    )
    got = h.show(out, (keys, channels), f"int{bits}")
    h.run()
    assert np.array_equal(h.outputs[0], scores)
    assert np.array_equal(h.outputs[1], codes)
    assert np.array_equal(got, values.compute(codes, v[None]))
