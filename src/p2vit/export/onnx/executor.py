"""Executors that run the ``onnx-integer`` export of a program: in ONNX Runtime, and in OpenVINO."""

from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from p2vit.engine.executor import Executor
from p2vit.errors import P2vitError
from p2vit.export.onnx.common.optional import onnx, onnxruntime, openvino
from p2vit.export.onnx.integer.build import build_onnx_integer
from p2vit.export.onnx.integer.matmul import (
    PRODUCT_FORMS,
    ProductForm,
    expect_product_form,
    products_are_exact,
)
from p2vit.export.onnx.runtimes import Runner, run_onnxruntime, run_openvino
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram


class OnnxExecutor(Executor):
    """Runs a program's ``onnx-integer`` export in ONNX Runtime's CPU provider.

    Attributes:
        program: The program.
        name: Name of the back-end, as in ``verify --backends``.
        products: Form of the matrix products; see :mod:`p2vit.export.onnx.integer.matmul`.
    """

    name = "onnx"
    #: Which tensors are kept changes the model, so ``verify`` also tries random sets of tensors.
    plans_by_keep = True
    plans_are_costly = True

    def __init__(
        self, program: IntegerProgram, *, products: ProductForm | None = None, threads: int | None = None
    ) -> None:
        """Check that this machine's products are exact. Models are built at first use.

        Args:
            program: The program to run.
            products: Form of the matrix products; None uses the fastest form that is exact on this machine.
            threads: Number of threads; None lets ONNX Runtime choose.

        Raises:
            P2vitError: onnx or onnxruntime is not installed, or no form of products is exact on this machine.
        """
        onnx()
        onnxruntime()
        self.program = program
        self.products = exact_products(products)
        self._threads = threads
        self._runners: dict[tuple[str, ...], Runner] = {}

    def run(self, pixels: IntArray, keep: Iterable[str] = ()) -> dict[str, IntArray]:
        """Run the program on a batch.

        Args:
            pixels: uint8 [B, H, W, 3].
            keep: Names of tensors to return besides the program's results: output, feature and feature maps.

        Returns:
            Tensor name → integers [B, ...], in the dtypes of the program.

        Raises:
            ValueError: The pixels do not have the shape and dtype of the program's input.
            ProgramError: ``keep`` names a tensor that the program does not have.
        """
        self.program.expect_pixels(pixels)
        wanted = self.program.among({*keep, *self.program.results}, "keep")
        names = [name for name in wanted if name != PIXELS]
        results = self._runner(tuple(names))(names, pixels)
        return dict(zip(names, results, strict=True))

    def _open(self, model: Any, threads: int | None) -> Runner:
        return run_onnxruntime(model, threads)

    def _runner(self, names: tuple[str, ...]) -> Runner:
        if names not in self._runners:
            whole = replace(self.program, maps=())  # every row is wanted, and not only the patches
            model = build_onnx_integer(whole, expose=names, products=self.products)
            self._runners[names] = self._open(model, self._threads)
        return self._runners[names]


class OpenVinoExecutor(OnnxExecutor):
    """Runs a program's ``onnx-integer`` export in OpenVINO's CPU plugin.

    Attributes:
        precision: INFERENCE_PRECISION_HINT; None keeps OpenVINO's default for this CPU.
    """

    name = "openvino"

    def __init__(
        self,
        program: IntegerProgram,
        *,
        products: ProductForm = "portable",
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        """Check that OpenVINO is installed. Models are built at first use.

        Args:
            program: The program to run.
            products: Form of the matrix products. OpenVINO computes both in the same way.
            threads: Number of threads; None lets OpenVINO choose.
            precision: See the class.

        Raises:
            P2vitError: onnx or openvino is not installed.
        """
        onnx()
        if find_spec("openvino") is None:
            openvino()  # names what to install
        expect_product_form(products)
        self.program = program
        self.products = products
        self.precision = precision
        self._threads = threads
        self._runners = {}

    def _open(self, model: Any, threads: int | None) -> Runner:
        return run_openvino(model, threads, self.precision)


def exact_products(products: ProductForm | None = None) -> ProductForm:
    """Return a form of matrix products that is exact on this machine.

    Args:
        products: The form to check; None finds the fastest exact form.

    Raises:
        P2vitError: ONNX Runtime does not compute the form, or any form, exactly on this machine.
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
