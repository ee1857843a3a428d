"""``p2vit report``: one offline HTML file about a program."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from p2vit.errors import P2vitError
from p2vit.files import FileSet, kind_of, one_writer, write_files
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.plain import to_json
from p2vit.workflows.program_folder import SENSITIVITY_FILE
from p2vit.workflows.threads import thread_count


class _Block(BaseModel):
    """A row of ``sensitivity.json``."""

    name: str
    local_sqnr_db: float | None
    cumulative_sqnr_db: float | None


class _Notes(BaseModel):
    """What a report reads of ``sensitivity.json``."""

    blocks: list[_Block]
    bits: str | None = None
    method: str | None = None
    seconds: float | None = None
    calibration_images: int | None = None


def read_json(path: Path, like: type[BaseModel], keys: set[str], command: str) -> dict[str, Any]:
    """Read an object that another verb wrote.

    Args:
        path: The file.
        like: What must be in it, with types.
        keys: Further names that must be in it.
        command: What writes such files, for the message.

    Raises:
        P2vitError: it is not such a file.
    """
    if (kind := kind_of(Path(os.path.realpath(path)))) != "file":
        raise P2vitError(f"{path}: {f'is a {kind}, not a file' if kind else 'no such file'}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
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
    program: Path,
    output: Path,
    *,
    data: str | None = None,
    evaluation: Path | None = None,
    limit: int | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Write the report.

    Args:
        program: Its folder.
        output: The HTML file; the same data go beside it as JSON.
        data: Photos to measure accuracy on.
        evaluation: What ``p2vit eval --json`` printed, instead of measuring again.
        limit: At most so many photos.
        threads: Bound.
        overwrite: Replace files that are there.
        out: Where progress goes.

    Returns:
        The keys of ``p2vit report --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.evaluate.accuracy import Accuracy
    from p2vit.program.format import load
    from p2vit.report.page import render, report_data

    target = FileSet.of_file(output, overwrite)
    beside = output.with_suffix(".json")
    if beside == output:
        raise P2vitError(f"{output}: the report is an HTML file; its data go beside it as .json")
    target.check([output.name, beside.name])
    if evaluation is not None and evaluation.exists() and beside.exists() and evaluation.samefile(beside):
        raise P2vitError(f"{evaluation}: is read and would be written too; choose another place with -o")
    loaded = load(program)
    notes = program / SENSITIVITY_FILE
    quantize = read_json(notes, _Notes, {"blocks"}, "p2vit quantize") if notes.is_file() else {}
    measured = None
    if evaluation is not None:
        measured = read_json(evaluation, Accuracy, {"images", "top1", "sqnr_db", "data"}, "p2vit eval --json")
    elif data is not None:
        measured = run_eval(program, data, limit=limit, threads=thread_count(threads), out=out)
    found = report_data(loaded, quantize=quantize, evaluation=measured)
    page = render(json.loads(to_json(found)))
    write_files({output: page, beside: to_json(found) + "\n"}, overwrite)
    return {"file": str(output), "data_file": str(beside), "bytes": output.stat().st_size, **found}
