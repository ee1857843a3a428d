"""``p2vit report``: one offline HTML file about a program."""

import json
from pathlib import Path
from typing import Any

from p2vit.data.text_file import read_text
from p2vit.errors import P2vitError
from p2vit.files import check_output, write_text
from p2vit.text import in_strings, original, shown
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.plain import to_json
from p2vit.workflows.program_folder import SENSITIVITY_FILE
from p2vit.workflows.threads import thread_count


def read_json(path: Path, keys: set[str], command: str) -> dict[str, Any]:
    """Read an object that another verb wrote.

    Args:
        path: The file.
        keys: That must be in it.
        command: What writes such files, for the message.

    Raises:
        P2vitError: it is not such a file.
    """
    try:
        found = in_strings(json.loads(read_text(path, "file")), original)
    except ValueError as error:
        raise P2vitError(f"{path}: is not readable as JSON ({error}); {command} writes such files") from None
    if not isinstance(found, dict) or not keys <= set(found):
        raise P2vitError(f"{path}: lacks {', '.join(sorted(keys))}; {command} writes such files")
    return found


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
    from p2vit.program.format import load
    from p2vit.report.page import render, report_data

    beside = output.with_suffix(".json")
    if beside == output:
        raise P2vitError(f"{output}: the report is an HTML file; its data go beside it as .json")
    for path in (output, beside):
        check_output(path, overwrite)
    loaded = load(program)
    notes = program / SENSITIVITY_FILE
    quantize = read_json(notes, {"blocks"}, "p2vit quantize") if notes.is_file() else {}
    measured = None
    if evaluation is not None:
        measured = read_json(evaluation, {"images", "top1", "sqnr_db", "data"}, "p2vit eval --json")
    elif data is not None:
        measured = run_eval(program, data, limit=limit, threads=thread_count(threads), out=out)
    found = report_data(loaded, quantize=quantize, evaluation=measured)
    write_text(beside, to_json(found) + "\n")
    write_text(output, render(in_strings(json.loads(to_json(found)), shown)))
    return {"file": str(output), "data_file": str(beside), "bytes": output.stat().st_size, **found}
