"""``p2vit demo``: the main job on the benchmark, from the float model to a report."""

import json
import time
from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError
from p2vit.files import make_folder, write_text
from p2vit.workflows.audit import run_audit
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.plain import to_json
from p2vit.workflows.quantize import run_quantize

#: Benchmark → the model that belongs to it.
MODELS = {"elpv": "dinov2-elpv", "textile": "dinov2-textile", "digits": "digits"}


def run_demo(
    output: Path,
    *,
    benchmark: str = "elpv",
    bits: str = "w8a8",
    calib_images: int = 32,
    limit: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    out: Feedback | None = None,
) -> dict[str, Any]:
    """Quantize, evaluate, audit and report.

    Args:
        output: Folder for ``program``, ``summary.json`` and ``report.html``.
        benchmark: A key of `MODELS`.
        bits: ``w8a8`` and the like.
        calib_images: Photos to calibrate on.
        limit: Evaluate at most so many photos.
        seed: Of the draw.
        threads: Bound.
        overwrite: Replace an earlier demo.
        out: Where notes and progress go.

    Returns:
        The keys of ``quantize``, ``eval`` and ``audit`` together.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.program.format import load
    from p2vit.report.page import render, report_data

    out = out or Feedback()
    start = time.perf_counter()
    summary_file, page_file, program = output / "summary.json", output / "report.html", output / "program"
    if not overwrite and (found := [path for path in (summary_file, page_file, program) if path.exists()]):
        raise P2vitError(f"{found[0]}: exists already; choose another place with -o, or allow --overwrite")
    make_folder(output)
    model = MODELS[benchmark]
    out.note(f"[1/4] quantize {model} to {bits} on {calib_images} photos of {benchmark}")
    quantized = run_quantize(
        model,
        benchmark,
        program,
        bits=bits,
        calib_images=calib_images,
        seed=seed,
        threads=threads,
        overwrite=overwrite,
        out=out,
    )
    out.note("[2/4] evaluate the program and the float model on the held-out photos")
    measured = run_eval(program, benchmark, limit=limit, threads=threads, out=out)
    out.note("[3/4] audit: prove integers, powers of two and int32")
    proof = run_audit(program)
    out.note("[4/4] report")
    # Where two verbs have a key in common they agree, except for these, which are spelt out.
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
    write_text(page_file, render(json.loads(to_json(data))))
    write_text(summary_file, to_json(summary) + "\n")
    return summary
