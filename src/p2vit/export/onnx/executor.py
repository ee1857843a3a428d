"""The integer program in ONNX Runtime, behind the interface of every other executor."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.errors import P2vitError
from p2vit.export.onnx.common.model_file import LARGEST_SINGLE_FILE, constant_bytes, save_model
from p2vit.export.onnx.common.optional import onnx, onnxruntime
from p2vit.export.onnx.integer.build import build_onnx_integer
from p2vit.export.onnx.integer.matmul import (
    PRODUCT_FORMS,
    ProductForm,
    expect_product_form,
    products_are_exact,
)
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram


class OnnxExecutor(Executor):
    """Runs a program's ``onnx-integer`` export in ONNX Runtime's CPU provider.

    Attributes:
        program: What it runs.
        name: What ``verify --backends`` calls it.
        products: The form of matrix products that is used; see :mod:`p2vit.export.onnx.integer.matmul`.
    """

    name = "onnx"
    #: What is asked for decides which model is built: ``verify`` tries random sets.
    plans_by_keep = True
    plans_are_costly = True

    def __init__(
        self, program: IntegerProgram, *, products: ProductForm | None = None, threads: int | None = None
    ) -> None:
        """Check the machine and remember the program; models are built at first use.

        Args:
            program: What to run.
            products: The fastest form that this machine computes exactly, if not given.
            threads: Threads of ONNX Runtime; its own choice if not given.

        Raises:
            P2vitError: onnx or onnxruntime is not installed, or the machine's products are not exact.
        """
        onnx()
        onnxruntime()
        self.program = program
        self.products = exact_products(products)
        self._threads = threads
        self._sessions: dict[tuple[str, ...], Any] = {}

    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch.

        Args:
            pixels: uint8 [B, H, W, 3].
            keep: Names of tensors to return besides the program's results: output, feature and feature maps.

        Returns:
            Name → integers [B, ...], in the program's dtypes.

        Raises:
            ValueError: pixels of another shape or dtype than the program's.
            ProgramError: ``keep`` names a tensor that the program does not have.
        """
        self.program.expect_pixels(pixels)
        wanted = self.program.among({*keep, *self.program.results}, "keep")
        names = [name for name in wanted if name != PIXELS]
        results = self._session(tuple(names)).run(names, {PIXELS: np.ascontiguousarray(pixels)})
        return dict(zip(names, results, strict=True))

    def _session(self, names: tuple[str, ...]) -> Any:
        if names not in self._sessions:
            whole = replace(self.program, maps=())  # every row is wanted, and not only the patches
            model = build_onnx_integer(whole, expose=names, products=self.products)
            self._sessions[names] = open_session(model, threads=self._threads)
        return self._sessions[names]


def exact_products(products: ProductForm | None = None) -> ProductForm:
    """The form to use on this machine, after a check that it is exact here.

    Args:
        products: A form to insist on; otherwise the fastest exact one.

    Raises:
        P2vitError: ONNX Runtime computes no allowed form exactly on this machine.
    """
    if products is not None:
        expect_product_form(products)
    forms = (products,) if products else tuple(reversed(PRODUCT_FORMS))
    for form in forms:
        if products_are_exact(form):
            return form
    raise P2vitError(
        f"ONNX Runtime {onnxruntime().__version__} does not compute int8 matrix products of form "
        f"{' or '.join(map(repr, forms))} exactly on this CPU; "
        + ("use products='portable'" if products == "vnni" else "use another back-end, such as reference")
    )


def open_session(model: Any, *, threads: int | None = None) -> Any:
    """An ONNX Runtime CPU session; a model too large for one message goes through a temporary file.

    Args:
        model: A ``ModelProto``, or the path of one.
        threads: Threads within operators; ONNX Runtime's own choice if not given.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    if isinstance(model, str | Path):
        return runtime.InferenceSession(str(model), options, providers=providers)
    if constant_bytes(model) <= LARGEST_SINGLE_FILE:
        return runtime.InferenceSession(model.SerializeToString(), options, providers=providers)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "model.onnx")
        return runtime.InferenceSession(str(Path(folder) / "model.onnx"), options, providers=providers)
