"""Every operator on every back-end: the same integers."""

import numpy as np
import pytest

from conformance.cases import TABLE
from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.numerics import OPERATORS, Operator
from p2vit.numerics.rounding import INT32
from p2vit.program.graph import PIXELS
from support.torch_on_gpu import as_on_a_gpu

BATCH = 3
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
NATIVE = [f"native, {isa}" for isa, reason in instruction_sets().items() if not reason]
BACKENDS = [
    *("torch, int_mm", "torch, float32", "torch, cuda", *NATIVE, "onnx, portable", "onnx, vnni"),
    # OpenVINO's default is bfloat16 on some CPUs, and float32 on others. It compiles a row for up to a minute.
    *(pytest.param(f"openvino, {hint}", marks=pytest.mark.extended) for hint in ("default", "f32", "bf16")),
]
_made: dict = {}


def made(operator, seed):
    """Program, pixels and the reference's tensors of a row."""
    if (operator, seed) not in _made:
        program = TABLE[operator].program(seed)
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (BATCH, *program.pixels.shape), dtype=np.uint8)
        names = [node.name for node in program.nodes]
        _made[operator, seed] = program, pixels, ReferenceExecutor(program).run(pixels, names)
    return _made[operator, seed]


def executor_of(backend, program, monkeypatch):
    kind, form = backend.split(", ")
    if kind == "native":
        return NativeExecutor(program, threads=2, isa=form, chunk_rows=8)
    if kind == "torch":
        pytest.importorskip("torch")
        from p2vit.engine.torch.executor import TorchExecutor
        from p2vit.engine.torch.kernels import products

        if form == "float32":
            monkeypatch.setattr(products, "int_mm_is_exact", lambda *shape: False)
        if form == "cuda":
            as_on_a_gpu(monkeypatch)
        return TorchExecutor(program)
    pytest.importorskip("onnxruntime")
    from p2vit.export.onnx.executor import OnnxExecutor, OpenVinoExecutor
    from p2vit.export.onnx.integer.matmul import products_are_exact

    if kind == "openvino":
        pytest.importorskip("openvino")
        return OpenVinoExecutor(program, threads=1, precision=None if form == "default" else form)
    if not products_are_exact(form):
        pytest.skip(f"ONNX Runtime does not compute products of form {form} exactly on this machine")
    return OnnxExecutor(program, products=form, threads=1)


def operators(kind=Operator):
    """Every operator class of the package, however deep."""
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("p2vit."):
            yield sub
        yield from operators(sub)


def test_every_operator_has_a_row():
    missing = {kind.__name__ for kind in operators()} - {kind.__name__ for kind in TABLE}
    assert not missing, f"tests/conformance/cases.py has no row for {', '.join(sorted(missing))}"
    assert set(TABLE) == set(OPERATORS.values())


@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_a_row_holds_its_operator_in_every_width(operator):
    program, _, _ = made(operator, 0)
    nodes = list(program.of_kind(operator))
    assert len(nodes) >= 4
    bits = {program.tensors[node.name].bits for node in nodes}
    choices = {"Linear": {8, 16, 32}, "Softmax": {8, 4}, "Scores": {32}, "ScoreBias": {32}}
    only = {8} if operator.__name__ in ("Patchify", "Lookup") else {8, 16}
    assert bits == choices.get(operator.__name__, only)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_reference(operator, seed):
    """Shapes, dtypes and proven bounds hold what the reference computes."""
    program, pixels, tensors = made(operator, seed)
    for node in program.of_kind(operator):
        inputs = [pixels if name == PIXELS else tensors[name] for name in node.inputs]
        got, spec = tensors[node.name], program.tensors[node.name]
        assert np.array_equal(got, node.operator.compute(*inputs))
        assert (got.shape[1:], got.dtype) == (spec.shape, spec.dtype)
        bounds = node.operator.bounds(*((int(x.min()), int(x.max())) for x in inputs))
        assert bounds.output[0] <= got.min() <= got.max() <= bounds.output[1], node.name
        # What a row asks for is what an audit would pass: nothing in it may leave int32.
        for what, (low, high) in bounds.intermediates.items():
            assert INT32[0] <= low <= high <= INT32[1], (node.name, what, low, high)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_every_tensor_is_the_reference_s(operator, backend, seed, monkeypatch):
    program, pixels, expected = made(operator, seed)
    executor = executor_of(backend, program, monkeypatch)
    found = executor.run(pixels, list(expected))
    wrong = {}
    for name, want in expected.items():
        assert (found[name].dtype, found[name].shape) == (want.dtype, want.shape), name
        if count := int((found[name] != want).sum()):
            wrong[name] = count
    assert not wrong


@pytest.mark.extended
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operator", TABLE, ids=lambda kind: kind.__name__)
def test_the_last_tensor_alone(operator, backend, monkeypatch):
    """Nothing else is asked for, so that whatever may be fused is."""
    program, pixels, expected = made(operator, 0)
    found = executor_of(backend, program, monkeypatch).run(pixels)
    assert np.array_equal(found[program.output], expected[program.output])
