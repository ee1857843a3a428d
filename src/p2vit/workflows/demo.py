"""``p2vit demo``: quantize, evaluate, audit and report a benchmark's model."""

import json
import time
from pathlib import Path
from typing import Any

from p2vit.files import FileSet, kind_of, one_writer
from p2vit.text import shown
from p2vit.workflows.audit import run_audit
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.quantize import DemoOptions
from p2vit.workflows.plain import to_json
from p2vit.workflows.program_folder import check_place
from p2vit.workflows.quantize import run_quantize
from p2vit.workflows.report_extras import today

#: Benchmark → the model that belongs to it.
MODELS = {"elpv": "dinov2-elpv", "textile": "dinov2-textile", "digits": "digits"}


@one_writer("output")
def run_demo(
    output: Path,
    options: DemoOptions | None = None,
    *,
    command: str = "",
    overwrite: bool = False,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Quantize a benchmark's model, evaluate it, audit it, and write a report.

    Args:
        output: Folder for ``program``, ``summary.json`` and ``report.html``.
        options: Options; the defaults of `DemoOptions` if None.
        command: Command line to show on the page.
        overwrite: Replace an earlier demo.
        out: Receives notes and progress.
        **changes: Fields of `DemoOptions` that replace those of ``options``.

    Returns:
        The keys of ``quantize``, ``eval`` and ``audit`` together.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    from p2vit.program.format import load
    from p2vit.report.page import render, report_data

    out = out or Feedback()
    options = changed(DemoOptions, options, changes)
    benchmark, bits, threads = options.benchmark, options.bits, options.threads
    start = time.perf_counter()
    summary_file, page_file, program = output / "summary.json", output / "report.html", output / "program"
    target = FileSet.within(output, "demo", overwrite, _older)
    # The token identifies the settings. The same command may finish a demo that was killed.
    token = f"{benchmark} {bits}, {options.calib_images} photos, limit {options.limit}, seed {options.seed}"
    resumed = target.check([summary_file.name, page_file.name], token)
    check_place(program, overwrite or resumed)
    target.begin(token)
    model = MODELS[benchmark]
    out.note(f"[1/4] quantize {model} to {bits} on {options.calib_images} photos of {benchmark}")
    quantized = run_quantize(
        model,
        benchmark,
        program,
        bits=bits,
        calib_images=options.calib_images,
        seed=options.seed,
        threads=threads,
        overwrite=overwrite or resumed,
        out=out,
    )
    out.note("[2/4] evaluate the program and the float model on the held-out photos")
    measured = run_eval(program, benchmark, limit=options.limit, threads=threads, out=out)
    out.note("[3/4] audit: prove integers only, power-of-two scales and no int32 overflow")
    proof = run_audit(program)
    out.note("[4/4] write the report")
    # Verbs agree on the keys that they share, except for those that are set here.
    summary = {
        **{key: value for key, value in proof.items() if key not in ("layers", "problems")},
        **measured,
        **quantized,
        "audit_problems": proof["problems"],
        "program": str(program),
        "report": str(page_file),
        "notes": [*quantized["notes"], *measured["notes"]],
        "skipped": [*quantized["skipped"], *measured["skipped"]],
        "demo_seconds": round(time.perf_counter() - start, 2),
    }
    data = report_data(load(program), quantize=quantized, evaluation=measured)
    data |= {"made": today(), "command": shown(command)}
    page = render(json.loads(to_json(data)))
    target.write({page_file.name: page, summary_file.name: to_json(summary) + "\n"}, token)
    target.finish()
    return summary


def _older(folder: Path) -> list[str]:
    """Return the files of a demo that an older version wrote, without a record of its files."""
    summary, page = folder / "summary.json", folder / "report.html"
    if kind_of(summary) != "file" or kind_of(page) != "file":
        return []
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
        told = isinstance(found, dict) and found.get("program_sha256")
        return [summary.name, page.name] if told and str(told) in page.read_text(encoding="utf-8") else []
    except (OSError, ValueError):
        return []
