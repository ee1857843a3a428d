"""Integer matrix products in ONNX Runtime: which form of ``MatMulInteger`` is exact on which CPU.

ONNX Runtime's kernels differ by the signedness of the operands:

* **u8 × u8** widens to 16 bits before it multiplies (``vpmaddwd``): exact on every CPU.
* **u8 × s8** multiplies bytes. With VNNI (or on Arm) it is exact and faster. Without VNNI two neighbouring products
  are added in 16 bits *with saturation* (``vpmaddubsw``), which is wrong if ``255 · (|w0| + |w1|) > 32767``. Weights of
  up to 7 bits cannot saturate.
* **s8 × anything** has no fast kernel: it is 20 to 40 times slower.

``portable`` therefore uses u8 × s8 for weights that cannot saturate, and u8 × u8 for others. ``vnni`` uses u8 × s8 for
all, on machines on which :func:`products_are_exact` is true. int8 activations are passed as ``x + 128`` with zero point
128, which ``MatMulInteger`` subtracts exactly.

OpenVINO's CPU plugin adds products in float32. Where a sum may exceed what float32 holds, K is divided, and the sums
are added in int32.
"""

from functools import cache
from typing import Literal, get_args

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.optional import onnxruntime
from p2vit.export.onnx.integer.shifts import FLOAT_LIMIT, fence
from p2vit.export.onnx.integer.values import ZERO_POINT, Value

ProductForm = Literal["portable", "vnni"]
PRODUCT_FORMS: tuple[ProductForm, ...] = get_args(ProductForm)

INT16_MAX = (1 << 15) - 1
#: All of K.
WHOLE = slice(None)


def expect_product_form(form: str) -> None:
    """Check the name of a form.

    Raises:
        P2vitError: The name is not one of the allowed ones.
    """
    if form not in PRODUCT_FORMS:
        raise P2vitError(f"products is {form!r}; allowed are {' and '.join(map(repr, PRODUCT_FORMS))}")


def cannot_saturate(weight: np.ndarray) -> bool:
    """Return whether no two neighbouring products along K can overflow 16 bits with uint8 inputs.

    Args:
        weight: int8 [N, K].
    """
    size = np.abs(weight.astype(np.int64))
    pairs = size[:, :-1] + size[:, 1:] if weight.shape[1] > 1 else size
    return bool(255 * int(pairs.max(initial=0)) <= INT16_MAX)


def constant_product(graph: OnnxGraph, x: Value, weight: np.ndarray, form: ProductForm) -> str:
    """Write ``x · Wᵀ``, int32 [..., N], for an 8-bit value x [..., K] and weights int8 [N, K]."""
    across, zero = np.ascontiguousarray(weight.T), np.zeros((), np.int8)
    if form == "portable" and not cannot_saturate(weight):
        across, zero = (
            (across.astype(np.int16) + ZERO_POINT).astype(np.uint8),
            np.full((), ZERO_POINT, np.uint8),
        )
    reach = np.abs(weight.astype(np.int64)) * max(map(abs, x.spec.limits))
    parts = [
        graph.op(
            "MatMulInteger", _part(graph, x.biased, -1, part), across[part], np.uint8(x.zero_point), zero
        )
        for part in depths(reach)
    ]
    return _sum(graph, parts)


def product(graph: OnnxGraph, a: str, a_zero: int, b: str, depth: int, form: ProductForm) -> str:
    """Write ``a · b`` of two tensors, int32, with K = ``depth``.

    a is uint8; b is uint8 for ``portable`` and int8 for ``vnni``.
    """
    zero = np.int8(0) if form == "vnni" else np.uint8(ZERO_POINT)
    reach = np.full((1, depth), (ZERO_POINT if a_zero else 255) * ZERO_POINT)
    parts = [
        graph.op(
            "MatMulInteger", _part(graph, a, -1, part), _part(graph, b, -2, part), np.uint8(a_zero), zero
        )
        for part in depths(reach)
    ]
    return _sum(graph, parts)


def row_sums(graph: OnnxGraph, a: str, depth: int) -> str:
    """Write the sums along the last axis of a uint8 tensor as products with 1, which saturate in no kernel."""
    parts = [
        graph.op("MatMulInteger", _part(graph, a, -1, part), np.ones((depth, 1), np.int8)[part])
        for part in depths(np.full((1, depth), 255))
    ]
    return _sum(graph, parts)


def depths(reach: np.ndarray) -> list[slice]:
    """Divide K into as few equal parts as keep every sum of a part within float32; mostly one.

    Args:
        reach: Largest magnitude of each product, [N, K].
    """
    depth = reach.shape[1]
    parts = [WHOLE]
    for count in range(1, depth + 1):
        size = -(-depth // count)
        if count > 1:
            parts = [slice(start, min(start + size, depth)) for start in range(0, depth, size)]
        if max(int(reach[:, part].sum(axis=1).max(initial=0)) for part in parts) <= FLOAT_LIMIT:
            break
    return parts


def _part(graph: OnnxGraph, x: str, axis: int, part: slice) -> str:
    if part == WHOLE:
        return x
    return graph.op("Slice", x, *(np.array([v]) for v in (part.start, part.stop, axis)))


def _sum(graph: OnnxGraph, parts: list[str]) -> str:
    result = parts[0]
    for part in parts[1:]:
        result = graph.op("Add", fence(graph, result), fence(graph, part))
    return result


def right_operand(x: Value, form: ProductForm) -> str:
    """Return the right operand of :func:`product`."""
    return x.stored if form == "vnni" else x.biased


@cache
def products_are_exact(form: ProductForm) -> bool:
    """Test whether ONNX Runtime on this machine computes products of a form exactly.

    The test uses extreme and random operands, one row and many, and constant and computed right operands, so that it
    detects saturation inside any kernel.

    Raises:
        P2vitError: onnxruntime is not installed.
    """
    rng = np.random.default_rng(0)
    exact = True
    for rows, depth, columns in ((1, 768, 40), (33, 768, 70), (65, 65, 64)):
        right = rng.integers(-128, 128, (depth, columns))
        right[:, :2] = -128, 127
        left = rng.integers(0, 256, (rows, depth))
        left[0] = 255
        for constant in (True, False):
            exact &= _agrees(left, right, form, constant)
    return exact


def _agrees(left: np.ndarray, right: np.ndarray, form: ProductForm, constant: bool) -> bool:
    graph = OnnxGraph()
    lift, dtype = (0, np.dtype(np.int8)) if form == "vnni" else (ZERO_POINT, np.dtype(np.uint8))
    operand = (right + lift).astype(dtype)
    feeds: dict[str, np.ndarray] = {"a": left.astype(np.uint8)[None]}
    a = graph.input("a", np.dtype(np.uint8), left.shape)
    if constant:
        b = graph.constant(operand)
    else:
        b, feeds["b"] = graph.input("b", dtype, right.shape), operand[None]
    graph.op("MatMulInteger", a, b, np.uint8(3), dtype.type(lift), output="y")
    graph.output("y", np.dtype(np.int32), (left.shape[0], right.shape[1]))
    runtime = onnxruntime()
    session = runtime.InferenceSession(
        graph.model("probe", 18, 8).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.array_equal(session.run(None, feeds)[0][0], (left - 3) @ right)
