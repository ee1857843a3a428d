import numpy as np
import pytest

torch = pytest.importorskip("torch")

from p2vit.engine.reference import ReferenceExecutor  # noqa: E402
from p2vit.engine.torch.executor import TorchExecutor  # noqa: E402
from p2vit.engine.torch.kernels import Parameters, base, compute, products  # noqa: E402
from p2vit.numerics import (  # noqa: E402
    AttentionValues,
    LayerNorm,
    Linear,
    Operator,
    Scores,
    SelectToken,
    Softmax,
)
from p2vit.numerics.layernorm import rsqrt_table  # noqa: E402
from support.programs import WINDOWED, random_pixels, random_program, windowed_program, zeros  # noqa: E402
from support.tiers import extended  # noqa: E402
from support.torch_on_gpu import as_on_a_gpu  # noqa: E402

FORMS = ["linear", "log2"]
#: The check itself, without its cache and without a test's replacement.
TRY_SHAPE = products.int_mm_is_exact.__wrapped__


@pytest.fixture(params=["int_mm", "float32", "cuda"], autouse=True)
def product(request, monkeypatch):
    """Run every test with ``_int_mm``, with the exact float32 slices that replace it, and in the forms of a GPU."""
    if request.param == "float32":
        monkeypatch.setattr(products, "int_mm_is_exact", lambda *shape: False)
    elif request.param == "cuda":
        as_on_a_gpu(monkeypatch)
    elif not products.int_mm_is_exact(64, 768, 64):
        pytest.skip("torch._int_mm is not exact on this machine")
    return request.param


def same(operator: Operator, *inputs: np.ndarray) -> None:
    """Compare the kernel's integers and dtype with the reference's, and check that it does not change its inputs."""
    tensors = [torch.from_numpy(x.copy()) for x in inputs]
    with torch.inference_mode():
        got = compute(operator, tensors, Parameters(operator)).numpy()
    expected = operator.compute(*inputs)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    for tensor, x in zip(tensors, inputs, strict=True):
        assert np.array_equal(tensor.numpy(), x)


def full(shape, rng, kind, dtype=np.int8):
    info = np.iinfo(dtype)
    if kind == "random":
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    if kind == "mixed":
        return np.where(rng.integers(0, 2, shape), info.min, info.max).astype(dtype)
    return np.full(shape, info.min if kind == "low" else info.max, dtype)


KINDS = ["random", "low", "high", "mixed"]
DEPTHS = [1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 3000]


@pytest.mark.parametrize("seed", extended(range(4), quick=[0]))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_bits": 4, "pool": "mean"},
        {"image": (12, 4), "patch": 2, "dim": 21, "heads": 7, "mlp": 13, "classes": 1, "prefix": 5},
        {"dim": 16, "heads": 1, "prefix": 0, "pool": "mean", "weight_bits": 2, "depth": 1},
        {"image": (28, 28), "patch": 2, "dim": 24, "heads": 2, "mlp": 50, "depth": 1},
    ],
)
def test_every_tensor_of_random_programs(options, form, seed):
    program = random_program(**options, form=form, seed=seed)
    pixels = random_pixels(program, 3, seed)
    pixels[0] = 255 * (seed % 2)
    names = [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(pixels, names)
    got = TorchExecutor(program).run(pixels, names)
    assert set(got) == set(expected) == set(names)
    for name in names:
        assert got[name].dtype == expected[name].dtype == program.tensors[name].dtype, name
        assert np.array_equal(got[name], expected[name]), name


@pytest.mark.parametrize("options", WINDOWED, ids=str)
def test_every_tensor_of_programs_with_windows(options):
    program = windowed_program(**options)
    pixels, names = random_pixels(program, 3), [node.name for node in program.nodes]
    expected, got = ReferenceExecutor(program).run(pixels, names), TorchExecutor(program).run(pixels, names)
    for name in names:
        assert got[name].dtype == expected[name].dtype == program.tensors[name].dtype, name
        assert np.array_equal(got[name], expected[name]), name


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_do_not_mix(batch):
    program = random_program()
    pixels = random_pixels(program, batch)
    whole = TorchExecutor(program).logits(pixels)
    assert np.array_equal(whole, np.concatenate([TorchExecutor(program).logits(p[None]) for p in pixels]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 1, 1), (17, 3, 5), (3, 1024, 1), (33, 1025, 9), (2, 3072, 40)]
)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_linear(rows, inputs, outputs, bits, kind):
    rng = np.random.default_rng(inputs)
    shift = np.zeros(outputs, int) if bits == 32 else rng.integers(0, 20, outputs)
    bias = rng.integers(-(2**20), 2**20, outputs)
    weight = full((outputs, inputs), rng, kind)
    same(Linear(weight, bias, shift, output_bits=bits), full((2, rows, inputs), rng, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "dim"), [(1, 1), (3, 7), (2, 64), (1, 1100)])
def test_scores(heads, dim, kind):
    rng = np.random.default_rng(dim)
    same(Scores(heads, dim), *(full((2, 5, heads * dim), rng, kind) for _ in range(2)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [-6, -1, 0, 1, 24])
@pytest.mark.parametrize("spread", [1, 3000, 2**22])
def test_softmax(form, shift, spread):
    rng = np.random.default_rng(spread)
    scores = rng.integers(-spread, spread + 1, (2, 3, 5, 9)).astype(np.int32)
    scores[0, 0] = 7
    same(Softmax(np.array([shift, 0, 3]), form), scores)


@pytest.mark.parametrize("form", FORMS)
def test_softmax_for_every_distance(form):
    same(Softmax(np.zeros(1, int), form), -np.arange(70000, dtype=np.int32)[None, None, None])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("guard", [8, 11, 13, 15])
@pytest.mark.parametrize("keys", [1, 2, 257, 511])
@pytest.mark.parametrize("kind", KINDS)
def test_attention_values(form, guard, keys, kind):
    rng = np.random.default_rng(keys)
    codes = rng.integers(0, 256 if form == "linear" else 16, (2, 3, 4, keys)).astype(np.uint8)
    codes[..., keys // 2] = 255 if form == "linear" else 0
    codes[1] = 255 if form == "linear" else 0
    for bits in (8, 16):
        operator = AttentionValues(3, rng.integers(-16, 9, 15), form, guard, bits)
        same(operator, codes, full((2, keys, 15), rng, kind))


def test_attention_values_with_more_keys_than_a_float32_slice():
    rng = np.random.default_rng(0)
    codes, v = np.full((1, 1, 2, 1500), 255, np.uint8), full((1, 1500, 2), rng, "low")
    same(AttentionValues(1, np.zeros(2, int)), codes, v)


@pytest.mark.parametrize("channels", [2, 3, 48, 384, 1000, 4096, 16384])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("epsilon", "epsilon_shift"), [(0, -14), (1, -2), (1 << 20, -2), (1 << 29, 31), (1 << 29, 5)]
)
def test_layernorm(channels, bits, epsilon, epsilon_shift):
    rng = np.random.default_rng(channels)
    table, _ = rsqrt_table(channels)
    x = np.stack(
        [full(channels, rng, kind, np.int16) for kind in KINDS]
        + [rng.integers(-3, 4, channels), np.zeros(channels), (np.arange(channels) == 0) * 32767]
    ).astype(np.int16)[None]
    operator = LayerNorm(
        channels, zeros(channels), table, rng.integers(14, 31, channels), epsilon, epsilon_shift, 16, bits
    )
    same(operator, x)


@pytest.mark.parametrize("input_bits", [4, 8, 12, 16])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("aligned", [True, False])
def test_layernorm_aligns_and_saturates(input_bits, dtype, aligned):
    rng = np.random.default_rng(input_bits)
    input_shift = rng.integers(0, 16, 24) if aligned else zeros(24)
    operator = LayerNorm(
        24, input_shift, rsqrt_table(24)[0], rng.integers(20, 25, 24), 1 << 20, -2, input_bits
    )
    same(operator, full((2, 6, 24), rng, "random", dtype))


def test_bit_length():
    values = sorted({*range(2000), *(v for k in range(31) for v in ((1 << k) - 1, 1 << k)), 2**31 - 1})
    assert base.bit_length(torch.tensor(values, dtype=torch.int32)).tolist() == [
        v.bit_length() for v in values
    ]


def test_an_operator_without_a_kernel_is_named():
    class Unknown(SelectToken.__mro__[1]):
        def compute(self, *inputs): ...
        def output_shape(self, *shapes): ...
        def output_format(self): ...
        def bounds(self, *ranges): ...

    with pytest.raises(NotImplementedError, match="no torch kernel for Unknown"):
        compute(Unknown(), [], Parameters(Unknown()))


def test_pixels_of_another_kind_are_refused():
    program = random_program()
    for pixels in (
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((1, 8, 12, 3), np.int8),
        np.zeros((8, 12, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"expected uint8 \[batch, 8, 12, 3\]"):
            TorchExecutor(program).run(pixels)


@pytest.mark.parametrize("inputs", extended(DEPTHS, quick=[1, 2, 33, 1024, 1025]))
def test_products_of_every_depth(inputs):
    """``torch._int_mm`` is wrong for K = 1; the layer is right nevertheless."""
    rng = np.random.default_rng(inputs)
    for rows in (1, 2, 5, 16, 33):
        for outputs in (1, 2, 3, 16, 17, 65):
            for kind in KINDS:
                weight = full((outputs, inputs), rng, kind)
                bias, none = rng.integers(-1000, 1000, outputs), np.zeros(outputs, np.int8)
                same(Linear(weight, bias, none, 8, 32), full((1, rows, inputs), rng, kind))


def test_a_shape_that_is_computed_wrongly_is_not_used(monkeypatch):
    """The check detects a kernel whose intermediate sums saturate, and one that is wrong in a single row."""
    right = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: right(a, b).clamp(max=2**15))
    assert not TRY_SHAPE(24, 72, 16)
    wrong_row = lambda a, b: right(a, b) + (torch.arange(len(a)) == len(a) - 1).int()[:, None]  # noqa: E731
    monkeypatch.setattr(torch, "_int_mm", wrong_row)
    assert not TRY_SHAPE(24, 72, 16)


def test_a_callers_autocast_and_precision_change_nothing():
    program = random_program(form="log2", weight_bits=4)
    pixels = random_pixels(program, 2)
    expected = ReferenceExecutor(program).logits(pixels)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert np.array_equal(TorchExecutor(program).logits(pixels), expected)
    finally:
        torch.set_float32_matmul_precision(before)
