"""Measure four-bit weights and the search for mixed widths, into results/search/.

    python scripts/measure_search.py quantize elpv --bits w4a8        # an integer program
    python scripts/measure_search.py prepare elpv                     # round all layers at all widths, once
    python scripts/measure_search.py ablation elpv                    # coarse, fine, both; Hessian, direct
    python scripts/measure_search.py quantize elpv --mix 6            # the front's mix at 6 bits, as a program
    python scripts/measure_search.py final elpv --bits w4a8           # programs on the held-out photos
    python scripts/measure_search.py final elpv --mix 6
    python scripts/measure_search.py summary                          # tables from the JSON files

The front is scripts/measure_front.py's. Everything but ``final`` sees calibration photos only; ``final`` is run once
nothing is left to choose.
"""

import argparse
import json
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.data.benchmarks import open_photos
from p2vit.models.registry import load_model
from p2vit.program.format import save
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS, parse_bits
from p2vit.quant.search.cost import Budget, parse_budget
from p2vit.quant.search.fine import Evolution
from p2vit.quant.search.run import PreparedSearch, SearchConfig, prepare, search
from p2vit.workflows.audit import run_audit
from p2vit.workflows.evaluate import run_eval

ROOT = Path(__file__).resolve().parents[1]
RESULTS, OUT = ROOT / "results" / "search", ROOT / "out" / "search"
WIDTHS = (4, 5, 6, 8)
PHOTOS, HELD_OUT = 96, 32
#: A third of the command's candidates: enough to tell the cases apart.
ABLATED = Evolution(generations=2)


def write(name: str, value: Any) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
    print("wrote", RESULTS / f"{name}.json", flush=True)


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def calibration(data: str, model: Any, count: int) -> np.ndarray:
    return np.concatenate(list(open_photos(data, model.preprocessing).calibration(count, 0)))


def program_folder(data: str, bits: str, mix: str | None) -> Path:
    return OUT / (f"{data}-mix{mix}" if mix else f"{data}-{bits}")


def make_program(data: str, bits: str, mix: str | None, photos: int, threads: int) -> None:
    model, average = load_model(f"dinov2-{data}"), float(parse_bits(bits))
    config = replace(OURS, weight_bits=parse_bits(bits))
    if mix:
        value = read(f"front-{data}")
        row = next(x for x in value["rows"] if (x["budget"], x["widths"]) == (float(mix), "4/8"))
        bits = dict(zip(value["layers"], map(int, row["bits"]), strict=True))
        config, average = replace(OURS, layer_bits=bits), row["cost"]
    cpu = time.process_time()
    result = quantize(model, [calibration(data, model, photos)], config, threads=threads, calibration=data)
    cpu, folder = time.process_time() - cpu, program_folder(data, bits, mix)
    save(result.program, folder, overwrite=True)
    note = {"seconds": round(result.seconds, 1), "core_seconds": round(cpu, 1), "threads": threads}
    note |= {"calibration_images": photos, "average_bits": average}
    (folder / "measured.json").write_text(json.dumps(note))
    print(f"quantized: {note}", flush=True)


def final(data: str, bits: str, mix: str | None, threads: int, backend: str) -> None:
    folder = program_folder(data, bits, mix)
    audit, note = run_audit(folder), json.loads((folder / "measured.json").read_text())
    accuracy = run_eval(folder, data, backend=backend, threads=threads)
    numbers = {key: accuracy[key] for key in ("images", "top1", "top1_float", "agreement", "sqnr_db")}
    proved = {
        key: audit[key]
        for key in ("float_ops", "non_pot_scales", "max_accumulator_bits", "passed")
        if key in audit
    }
    write(f"final-{folder.name}", {"program": folder.name, "backend": backend, **numbers, **proved, **note})


def prepared_file(data: str) -> Path:
    return OUT / f"prepared-{data}.pickle"


def prepare_all(data: str, threads: int) -> None:
    model = load_model(f"dinov2-{data}")
    photos = calibration(data, model, PHOTOS + HELD_OUT)
    ready = prepare(model, photos[:PHOTOS], photos[PHOTOS:], OURS, WIDTHS, threads=threads)
    for measure in ("direct", "hessian"):
        ready.sensitivity(measure, threads)  # type: ignore[arg-type]
    OUT.mkdir(parents=True, exist_ok=True)
    prepared_file(data).write_bytes(pickle.dumps(ready))
    print({key: round(value, 1) for key, value in ready.seconds.items()}, flush=True)


def narrowed(ready: PreparedSearch, widths: tuple[int, ...]) -> PreparedSearch:
    """The same preparation with fewer widths to choose from."""
    scorer = replace(ready.scorer, library=replace(ready.scorer.library, widths=widths))
    tables = {
        measure: {layer: {w: row[w] for w in widths} for layer, row in table.items()}
        for measure, table in ready._tables.items()
    }
    return PreparedSearch(ready.model, scorer, ready.seed, {}, tables)


def average(limit: float, ready: PreparedSearch) -> Budget:
    return parse_budget(f"average-bits={limit}", ready.scorer.library.layers)


def ablation(data: str, threads: int) -> None:
    ready = pickle.loads(prepared_file(data).read_bytes())
    two, rows = narrowed(ready, (4, 8)), []
    cases = {
        "coarse only, direct": {"fine": False},
        "coarse only, Hessian": {"fine": False, "measure": "hessian"},
        "fine only": {"coarse": False},
        "both, direct": {},
        "both, Hessian": {"measure": "hessian"},
    }
    for limit in (4.5, 6.0):
        for name, changes in cases.items():
            start = time.perf_counter()
            settings = SearchConfig(evolution=ABLATED, **changes)  # type: ignore[arg-type]
            found = search(two, average(limit, two), settings, threads=threads)
            minutes = (time.perf_counter() - start) / 60
            if settings.coarse:
                minutes += ready.seconds[settings.measure] / 60
            row = {"budget": limit, "case": name, "sqnr_db": found.sqnr_db, "candidates": found.candidates}
            rows.append({**row, "minutes": round(minutes, 2)})
            print(rows[-1], flush=True)
    write(f"ablation-{data}", {"library_minutes": round(ready.seconds["library"] / 60, 2), "rows": rows})


def summary() -> None:
    lines = ["# Measured by scripts/measure_search.py", "", "## Integer programs on held-out photos", ""]
    lines += ["| program | bits | top-1 | float | agreement | SQNR dB | s (core s) | accumulator bits |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for path in sorted(RESULTS.glob("final-*.json")):
        r = json.loads(path.read_text())
        lines.append(
            f"| {r['program']} | {r['average_bits']:.2f} | {r['top1']:.2f} | {r['top1_float']:.2f} "
            f"| {r['agreement']:.2f} | {r['sqnr_db']:.2f} | {r['seconds']:.0f} ({r['core_seconds']:.0f}) "
            f"| {r['max_accumulator_bits']} |"
        )
    for path in sorted(RESULTS.glob("ablation-*.json")):
        value = json.loads(path.read_text())
        lines += [
            "",
            f"## Ablation on {path.stem.removeprefix('ablation-')} (library: {value['library_minutes']} min)",
            "",
        ]
        lines += ["| budget | search | SQNR dB | candidates | minutes |", "|---|---|---|---|---|"]
        lines += [
            f"| {r['budget']} | {r['case']} | {r['sqnr_db']:.2f} | {r['candidates']} | {r['minutes']} |"
            for r in value["rows"]
        ]
    (RESULTS / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("quantize", "final", "prepare", "ablation", "summary"))
    parser.add_argument("data", nargs="?", default="elpv", choices=("elpv", "textile"))
    parser.add_argument("--bits", default="w4a8")
    parser.add_argument("--mix", metavar="BUDGET")
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument(
        "--backend", default="torch", help="all give the same integers; native is the fastest"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "quantize":
        make_program(arguments.data, arguments.bits, arguments.mix, arguments.photos, arguments.threads)
    elif arguments.what == "final":
        final(arguments.data, arguments.bits, arguments.mix, arguments.threads, arguments.backend)
    elif arguments.what == "summary":
        summary()
    else:
        {"prepare": prepare_all, "ablation": ablation}[arguments.what](arguments.data, arguments.threads)


if __name__ == "__main__":
    main()
