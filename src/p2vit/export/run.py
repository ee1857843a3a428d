"""Export in every format: build, check, write, and compare the result with the program on the same images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.c.compile import count_differences
from p2vit.export.c.write import WeightForm, build_c, c_target, flash_bytes, write_c
from p2vit.export.onnx.common.check import check_model, expect_integers_only, inspect_model
from p2vit.export.onnx.common.model_file import (
    LARGEST_SINGLE_FILE,
    constant_bytes,
    save_model,
    without_constants,
)
from p2vit.export.onnx.common.optional import onnx
from p2vit.export.onnx.executor import exact_products
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.integer.matmul import ProductForm
from p2vit.export.onnx.qdq.build import QDQ_OPSET, build_onnx_qdq
from p2vit.export.onnx.qdq.values import Activations
from p2vit.export.onnx.runtimes import Target, check_runtimes, expect_target, open_session
from p2vit.export.vectors import Encoding, vectors_target, write_vectors
from p2vit.export.web.write import build_web, web_target, write_web
from p2vit.files import check_output, one_writer
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, TensorSpec

ExportFormat = Literal["onnx-integer", "onnx-qdq", "c", "web", "vectors"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
#: Bytes of the largest constant that type inference may read: shapes and axes, but not weights.
LARGEST_INFERRED_CONSTANT = 1 << 16


def noise_pixels(program: IntegerProgram, images: int, seed: int = 0) -> IntArray:
    """Return random photos from a seed, uint8 [images, H, W, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (images, *program.pixels.shape), dtype=np.uint8)


@dataclass(frozen=True)
class ExportForm:
    """Options of the export formats.

    Attributes:
        products: For ``onnx-integer``: ``portable`` matrix products are exact on every CPU; ``vnni`` products are
            faster, and exact on CPUs with VNNI and on Arm.
        target: For ``onnx-integer``: a runtime that must be installed, so that the export proves the file in it. The
            file is the same for all. ``any`` checks it in those that are installed.
        expose: For ONNX: tensors of the program that become outputs.
        opset: For ``onnx-qdq``: opset of the file, 13 to 20.
        quantize_probabilities: For ``onnx-qdq``: also quantize the softmax's output. It costs accuracy.
        activations: For ``onnx-qdq``: symmetric ``int8``, or the same numbers as ``uint8``.
        encoding: For ``vectors``: file format.
        weights: For ``c``: write weights as a C ``array`` or a ``binary`` file; ``auto`` decides by their size.
    """

    products: ProductForm = "portable"
    target: Target = "any"
    expose: tuple[str, ...] = ()
    opset: int = QDQ_OPSET
    quantize_probabilities: bool = False
    activations: Activations = "int8"
    encoding: Encoding = "npy"
    weights: WeightForm = "auto"


def expect_form(export_format: str, form: ExportForm) -> None:
    """Check that the format has the options that are set.

    Raises:
        P2vitError: It does not have one of them, or the target is not installed.
    """
    for option, is_set, formats in (
        ("expose", form.expose, ("onnx-integer", "onnx-qdq")),
        ("target", form.target != "any", ("onnx-integer",)),
        ("opset", form.opset != QDQ_OPSET, ("onnx-qdq",)),
    ):
        if is_set and export_format not in formats:
            allowed = " or ".join(formats)
            raise P2vitError(
                f"{option} needs the format {allowed}, not {export_format}. Omit {option}, or choose that format"
            )
    expect_target(form.target)


@one_writer("file")
def run_export(
    program: IntegerProgram,
    export_format: str,
    file: Path,
    form: ExportForm = ExportForm(),
    *,
    pixels: IntArray,
    program_sha256: str | None = None,
    overwrite: bool = False,
    largest: int = LARGEST_SINGLE_FILE,
) -> dict[str, Any]:
    """Export a program, then run the written file and the program on the same images.

    Args:
        program: The program to export.
        export_format: ``onnx-integer``, ``onnx-qdq``, ``c``, ``web`` or ``vectors``.
        file: File ``*.onnx``; a folder for ``c``, ``web`` and ``vectors``.
        form: Options of the format.
        pixels: Photos for the comparison, uint8 [B, H, W, 3]; see :func:`noise_pixels`.
        program_sha256: Hash of the program, recorded in the files.
        overwrite: Replace files that p2vit wrote there.
        largest: Bytes of constants above which a model's weights are written to a second file.

    Returns:
        ``file``; ``format``; ``files``: all files written; ``opset``: None except for ONNX; ``images``;
        ``max_abs_diff``: the largest difference of the logits, of integers for ``onnx-integer`` and of real values for
        ``onnx-qdq``. For ``c`` it is the number of outputs that differ, which is 0, or None without a C compiler; for
        ``web`` it is 0; for ``vectors`` it is None. ONNX also has ``operators`` (type → count) and ``float_tensors``,
        and ``max_abs_diff_maps`` (feature map → largest difference) if the program has any; ``onnx-integer`` also has
        ``runtimes``, the rows of :func:`p2vit.export.onnx.runtimes.check_runtimes`; ``c`` and ``web`` also have their
        sizes in bytes.

    Raises:
        P2vitError: The format is unknown, a file is in the way, or the format cannot express the program.
    """
    if export_format not in FORMATS:
        raise P2vitError(f"format is {export_format!r}; allowed are {', '.join(FORMATS)}")
    expect_form(export_format, form)
    if export_format == "vectors":
        vectors_target(file, overwrite).check()
    elif export_format == "c":
        c_target(file, overwrite).check()
    elif export_format == "web":
        web_target(file, overwrite).check()
    else:
        check_output(file, overwrite)
    executor = ReferenceExecutor(program)
    report: dict[str, Any] = {"file": str(file), "format": export_format, "images": len(pixels)}
    if export_format == "vectors":
        write_vectors(
            program,
            pixels,
            file,
            encoding=form.encoding,
            executor=executor,
            program_sha256=program_sha256,
            overwrite=overwrite,
        )
        return report | {"files": [str(file)], "opset": None, "max_abs_diff": None}
    if export_format == "c":
        return report | run_c(program, file, form, pixels, program_sha256, overwrite)
    if export_format == "web":
        export = build_web(program, pixels, executor, program_sha256=program_sha256)
        paths = write_web(export, file, overwrite)
        return report | {
            "files": [str(path) for path in paths],
            "opset": None,
            "max_abs_diff": 0,
            **export.sizes,
        }
    if export_format == "onnx-integer":
        model = build_onnx_integer(
            program, expose=form.expose, products=form.products, program_sha256=program_sha256
        )
    else:
        model = build_onnx_qdq(
            program,
            quantize_probabilities=form.quantize_probabilities,
            activations=form.activations,
            expose=form.expose,
            opset=form.opset,
            program_sha256=program_sha256,
        )
    inspected = inspect_model(structure_only(model))
    if export_format == "onnx-integer":
        expect_integers_only(inspected)
        exact_products(form.products)
    files = save_checked(model, file, overwrite=overwrite, largest=largest)
    return report | {
        "files": [str(path) for path in files],
        "opset": inspected.opset,
        **differences(program, file, pixels, executor, export_format),
        **(proofs(program, file, model, pixels, executor) if export_format == "onnx-integer" else {}),
        "operators": inspected.operators,
        "float_tensors": len(inspected.float_tensors),
    }


def run_c(
    program: IntegerProgram,
    folder: Path,
    form: ExportForm,
    pixels: IntArray,
    program_sha256: str | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Write C that was compiled here and returned the reference's integers.

    Raises:
        P2vitError: It does not compile here, or its outputs differ from the reference's.
    """
    export = build_c(
        program, pixels, ReferenceExecutor(program), weights=form.weights, program_sha256=program_sha256
    )
    wrong = count_differences(export)
    if wrong:
        raise P2vitError(
            f"{wrong} outputs of the C program, compiled on this machine, differ from the reference, so it is not "
            "written. Try another compiler with the variable CC, and please report this"
        )
    files = write_c(export, folder, overwrite)
    return {
        "files": [str(path) for path in files],
        "opset": None,
        "max_abs_diff": wrong,
        **export.sizes,
        "flash_bytes": flash_bytes(export.sizes),
    }


def save_checked(model: Any, file: Path, *, overwrite: bool, largest: int) -> list[Path]:
    """Check a model with the ONNX checker and write it. A model with external data is checked after it is written."""
    if constant_bytes(model) <= largest:
        check_model(model)
        return save_model(model, file, overwrite=overwrite, largest=largest)
    return save_model(model, file, overwrite=overwrite, largest=largest, check=check_model)


def structure_only(model: Any) -> Any:
    """Return a copy whose large constants are graph inputs, so that it is small enough for type inference."""
    copy = without_constants(model)
    for constant in model.graph.initializer:
        if len(constant.raw_data) > LARGEST_INFERRED_CONSTANT:
            shape = list(constant.dims)
            copy.graph.input.append(
                onnx().helper.make_tensor_value_info(constant.name, constant.data_type, shape)
            )
        else:
            copy.graph.initializer.append(constant)
    return copy


def differences(
    program: IntegerProgram, file: Path, pixels: IntArray, executor: Executor, export_format: str
) -> dict[str, Any]:
    """Return the largest differences between a written model and the program.

    Returns:
        ``max_abs_diff`` of the logits, and ``max_abs_diff_maps`` of each feature map if the program has any.
    """
    names = [each.name for each in program.maps]
    exported = open_session(file).run([LOGITS, *names], {PIXELS: np.ascontiguousarray(pixels)})
    integers = executor.run(pixels)
    integers |= {each.name: each.spatial(integers[each.name]) for each in program.maps}
    integer = export_format == "onnx-integer"
    found = [
        largest_difference(program.tensors[name], integers[name], theirs, integer)
        for name, theirs in zip([program.output, *names], exported, strict=True)
    ]
    report: dict[str, Any] = {"max_abs_diff": found[0]}
    if names:
        report["max_abs_diff_maps"] = dict(zip(names, found[1:], strict=True))
    return report


def proofs(
    program: IntegerProgram, file: Path, model: Any, pixels: IntArray, executor: Executor
) -> dict[str, Any]:
    """Run a written integer model in every installed runtime: ``runtimes``, a list of rows."""
    names = [output.name for output in model.graph.output]
    integers = executor.run(pixels, [name for name in names if name in program.tensors and name != PIXELS])
    integers |= {each.name: each.spatial(integers[each.name]) for each in program.maps}
    expected = {name: integers.get(name, integers[program.output]) for name in names}
    return {"runtimes": check_runtimes(file, constant_bytes(model), pixels, expected)}


def largest_difference(spec: TensorSpec, ours: IntArray, exported: Any, integer: bool) -> int | float:
    """Return the largest difference of one output: of its integers, or of the real values."""
    if integer:
        return int(np.abs(exported.astype(np.int64) - ours.reshape(exported.shape).astype(np.int64)).max())
    return float(np.abs(exported - spec.real(ours).reshape(exported.shape)).max())
