"""``p2vit report``: write a self-contained HTML report about a program."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from p2vit.data.text_file import read_text
from p2vit.errors import P2vitError
from p2vit.evaluate.accuracy import Accuracy
from p2vit.files import FileSet, kind_of, one_writer, write_files
from p2vit.text import in_strings, original, shown
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import has_torch, reload_float
from p2vit.workflows.inputs import OpenProgram, open_data, open_program
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.evaluate import ReportOptions
from p2vit.workflows.plain import to_json
from p2vit.workflows.program_folder import SENSITIVITY_FILE
from p2vit.workflows.report_extras import measure_speed, thumbnails, today
from p2vit.workflows.threads import thread_count


class _Block(BaseModel):
    """A row of ``sensitivity.json``."""

    name: str
    local_sqnr_db: float | None
    cumulative_sqnr_db: float | None


class Notes(BaseModel):
    """The part of ``sensitivity.json`` that a report reads."""

    blocks: list[_Block]
    bits: str | None = None
    method: str | None = None
    seconds: float | None = None
    calibration_images: int | None = None


class _Skipped(BaseModel):
    """A photo that could not be read."""

    file: str
    reason: str


class SavedEvaluation(Accuracy):
    """The part of a saved ``p2vit eval --json`` that a report reads."""

    data: str
    skipped: list[_Skipped]

    @model_validator(mode="after")
    def _matrix_fits_its_classes(self) -> "SavedEvaluation":
        size = len(self.classes)
        if self.confusion is not None and [len(row) for row in self.confusion] != [size] * size:
            raise ValueError(
                f"confusion must have {size} rows of {size} numbers, one for each of the classes"
            )
        return self


def read_json(path: Path, like: type[BaseModel], keys: set[str], command: str) -> dict[str, Any]:
    """Read a JSON object that another verb wrote.

    Args:
        path: The file.
        like: Model of the object, with the types of its keys.
        keys: Keys that must be present.
        command: Command that writes such files, for the error message.

    Raises:
        P2vitError: The file cannot be read, is not JSON, lacks a key, or a key has the wrong type.
    """
    if (kind := kind_of(Path(os.path.realpath(path)))) != "file":
        raise P2vitError(f"{path}: {f'is a {kind}, not a file' if kind else 'no such file'}")
    try:
        found = in_strings(json.loads(read_text(path, "file")), original)
    except (OSError, ValueError, RecursionError) as error:
        raise P2vitError(f"{path}: is not readable as JSON ({error}); {command} writes such files") from None
    if not isinstance(found, dict) or not keys <= set(found):
        raise P2vitError(f"{path}: lacks {', '.join(sorted(keys))}; {command} writes such files")
    try:
        like.model_validate(found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        item = ".".join(map(str, first["loc"])) or "the object"
        raise P2vitError(f"{path}: {item}: {first['msg']}; {command} writes such files") from None
    return found


@one_writer("output")
def run_report(
    program: Path | OpenProgram,
    output: Path,
    options: ReportOptions | None = None,
    *,
    measured: dict[str, Any] | None = None,
    command: str = "",
    overwrite: bool = False,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Write the report and its data.

    Args:
        program: Folder of the program, or a loaded program.
        output: HTML file to write. The same data are written beside it as JSON.
        options: Options; the defaults of `ReportOptions` if None.
        measured: Result of :func:`p2vit.workflows.evaluate.run_eval`, to use instead of measuring.
        command: Command line to show on the page.
        overwrite: Replace existing files.
        out: Receives progress.
        **changes: Fields of `ReportOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit report --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.report.page import render, report_data

    options = changed(ReportOptions, options, changes)
    data, evaluation = options.data, options.evaluation
    if options.thumbnails and data is None:
        raise P2vitError("--thumbnails shows photos of --data; add --data DIR, the photos that were measured")
    target = FileSet.of_file(output, overwrite)
    beside = output.with_suffix(".json")
    if beside == output:
        raise P2vitError(
            f"{output}: the report is an HTML file, and its data are written beside it as .json; give -o NAME.html"
        )
    target.check([output.name, beside.name])
    if evaluation is not None and evaluation.exists() and beside.exists() and evaluation.samefile(beside):
        raise P2vitError(
            f"{evaluation}: is the --eval file and would be overwritten; choose another file with -o"
        )
    opened = open_program(program)
    quantize = opened.notes
    if isinstance(program, Path) and (program / SENSITIVITY_FILE).is_file():
        quantize = read_json(program / SENSITIVITY_FILE, Notes, {"blocks"}, "p2vit quantize")
    if evaluation is not None:
        keys = {"images", "top1", "sqnr_db", "data"}
        measured = read_json(evaluation, SavedEvaluation, keys, "p2vit eval --json")
    speed = None
    if measured is None and data is not None:
        reference = reload_float(opened.program) if has_torch() else None
        measured = run_eval(
            program,
            data,
            limit=options.limit,
            threads=thread_count(options.threads),
            out=out,
            reference=reference,
        )
        if reference is not None:
            speed = measure_speed(opened.program, open_data(data, opened.program.preprocessing), reference)
    found = report_data(opened.program, quantize=quantize, evaluation=measured)
    found |= {"made": today(), "command": command, "speed": speed, "thumbnails": []}
    if options.thumbnails and data is not None:
        photos = open_data(data, opened.program.preprocessing)
        found["thumbnails"] = thumbnails(photos, (measured or {}).get("most_different", []))
    page = render(in_strings(json.loads(to_json(found)), shown))
    write_files({output: page, beside: to_json(found) + "\n"}, overwrite)
    return {"file": str(output), "data_file": str(beside), "bytes": output.stat().st_size, **found}
