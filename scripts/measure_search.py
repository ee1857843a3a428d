"""Measure four-bit weights and the search for mixed widths, into results/search/.

    python scripts/measure_search.py quantize elpv --bits w4a8        # an integer program
    python scripts/measure_search.py prepare elpv                     # round all layers at all widths, once
    python scripts/measure_search.py front elpv                       # budgets: searched, uniform, random
    python scripts/measure_search.py confirm elpv                     # the front again, on other photos
    python scripts/measure_search.py ablation elpv                    # coarse, fine, both; Hessian, direct
    python scripts/measure_search.py quantize elpv --mix 6            # the front's mix at 6 bits, as a program
    python scripts/measure_search.py final elpv --bits w4a8           # programs on the held-out photos
    python scripts/measure_search.py final elpv --mix 6
    python scripts/measure_search.py summary                          # front plot and tables from the JSON files

Everything but ``final`` sees calibration photos only; ``final`` is run once nothing is left to choose.
"""

import argparse
import json
import math
import pickle
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.cli.audit import run_audit
from p2vit.cli.evaluate import run_eval
from p2vit.data.benchmarks import open_photos
from p2vit.models.registry import load_model
from p2vit.program.format import save
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS, parse_bits
from p2vit.quant.search.cost import Budget, parse_budget
from p2vit.quant.search.fine import Evolution, Space
from p2vit.quant.search.run import Prepared, SearchConfig, prepare, search
from p2vit.quant.search.score import Scorer

ROOT = Path(__file__).resolve().parents[1]
RESULTS, OUT = ROOT / "results" / "search", ROOT / "out" / "search"
#: 6 comes first: its mix is made into a program.
BUDGETS = (6.0, 4.25, 4.5, 5.0, 5.5, 6.5, 7.0, 7.5, 7.75)
WIDTHS = (4, 5, 6, 8)
PHOTOS, HELD_OUT, RANDOM_MIXES = 96, 32, 4
EVOLUTION = Evolution(population=6, generations=2, crossovers=4, mutations=4)


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
        row = next(row for row in read(f"front-{data}")["rows"] if row["budget"] == float(mix))
        config, average = replace(OURS, layer_bits=row["bits_per_layer"]), row["cost"]
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


def narrowed(ready: Prepared, widths: tuple[int, ...]) -> Prepared:
    """The same preparation with fewer widths to choose from."""
    scorer = replace(ready.scorer, library=replace(ready.scorer.library, widths=widths))
    tables = {
        measure: {layer: {w: row[w] for w in widths} for layer, row in table.items()}
        for measure, table in ready._tables.items()
    }
    return Prepared(ready.model, scorer, ready.seed, {}, tables)


def average(limit: float, ready: Prepared) -> Budget:
    return parse_budget(f"average-bits={limit}", ready.scorer.library.layers)


def front(data: str, threads: int) -> None:
    ready = pickle.loads(prepared_file(data).read_bytes())
    two, scorer = narrowed(ready, (4, 8)), ready.scorer
    uniform = {
        width: scorer.score({x.name: width for x in scorer.library.layers}, threads) for width in WIDTHS
    }
    print("uniform", uniform, flush=True)
    rows: list[dict[str, Any]] = []
    for limit in BUDGETS:
        row: dict[str, Any] = {"budget": limit}
        start = time.perf_counter()
        found = search(two, average(limit, two), SearchConfig(evolution=EVOLUTION), threads=threads)
        coarse = search(two, average(limit, two), SearchConfig(fine=False), threads=threads)
        any_width = search(ready, average(limit, ready), SearchConfig(evolution=EVOLUTION), threads=threads)
        row |= {"searched": found.sqnr_db, "coarse": coarse.sqnr_db, "any_width": any_width.sqnr_db}
        row |= {"cost": found.cost, "bits_per_layer": found.bits_per_layer}
        row |= {"any_width_bits_per_layer": any_width.bits_per_layer}
        space = Space(two.scorer.library.layers, (4, 8), average(limit, two))
        random = np.random.default_rng(int(limit * 100))
        mixes = [scorer.score(space.bits(space.random(random)), threads) for _ in range(RANDOM_MIXES)]
        width = max(width for width in WIDTHS if width <= limit)
        row |= {"random_mean": statistics.mean(mixes), "random_best": max(mixes)}
        row |= {"uniform": uniform[width], "uniform_bits": width, "uniform_4_8": uniform[4]}
        row["seconds"] = round(time.perf_counter() - start, 1)
        print({key: value for key, value in row.items() if not key.endswith("per_layer")}, flush=True)
        rows = sorted([*rows, row], key=lambda row: row["budget"])
        write(f"front-{data}", {"uniform": uniform, "held_out_images": HELD_OUT, "rows": rows})


def confirm(data: str, threads: int) -> None:
    """Score the front's mixes again, on calibration photos that took no part in choosing them."""
    ready, value = pickle.loads(prepared_file(data).read_bytes()), read(f"front-{data}")
    photos = calibration(data, ready.model, PHOTOS + 2 * HELD_OUT)[-HELD_OUT:]
    scorer = Scorer.of(ready.model.module, ready.scorer.library, photos, threads)
    layers = scorer.library.layers
    value["uniform_confirmed"] = {w: scorer.score({x.name: w for x in layers}, threads) for w in WIDTHS}
    for row in value["rows"]:
        limit, random = row["budget"], np.random.default_rng(int(row["budget"] * 100))
        space = Space(layers, (4, 8), average(limit, ready))
        mixes = [scorer.score(space.bits(space.random(random)), threads) for _ in range(RANDOM_MIXES // 2)]
        row["searched_confirmed"] = scorer.score(row["bits_per_layer"], threads)
        row["any_width_confirmed"] = scorer.score(row["any_width_bits_per_layer"], threads)
        row["random_confirmed"] = statistics.mean(mixes)
        print({key: number for key, number in row.items() if key.endswith("confirmed")}, flush=True)
    write(f"front-{data}", value)


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
            settings = SearchConfig(evolution=EVOLUTION, **changes)  # type: ignore[arg-type]
            found = search(two, average(limit, two), settings, threads=threads)
            minutes = (time.perf_counter() - start) / 60
            if settings.coarse:
                minutes += ready.seconds[settings.measure] / 60
            row = {"budget": limit, "case": name, "sqnr_db": found.sqnr_db, "candidates": found.candidates}
            rows.append({**row, "minutes": round(minutes, 2)})
            print(rows[-1], flush=True)
    write(f"ablation-{data}", {"library_minutes": round(ready.seconds["library"] / 60, 2), "rows": rows})


def summary() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

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
    for path in sorted(RESULTS.glob("front-*.json")):
        data, value = path.stem.removeprefix("front-"), json.loads(path.read_text())
        rows = value["rows"]
        lines += [
            "",
            f"## Front on {data}: feature SQNR (dB) on {value['held_out_images']} held-out calibration photos",
            "",
        ]
        four_widths = "searched" if "any_width_bits_per_layer" in rows[0] else "coarse only"
        lines += [
            f"| budget | 4/8 searched | coarse only | 4/5/6/8 {four_widths} | uniform (width) "
            "| random mean | random best | other photos: 4/8 | 4/5/6/8 | random | uniform |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|---|---|"]
        again = value.get("uniform_confirmed", {})
        for r in rows:
            other = [r.get(f"{key}_confirmed", math.nan) for key in ("searched", "any_width", "random")]
            other.append(again.get(str(r["uniform_bits"]), math.nan))
            numbers = [
                r["searched"],
                r["coarse"],
                r["any_width"],
                r["uniform"],
                r["random_mean"],
                r["random_best"],
            ]
            cells = [f"{number:.2f}" for number in [*numbers, *other]]
            cells[3] += f" ({r['uniform_bits']})"
            lines.append(f"| {r['budget']} | {' | '.join(cells)} |")
        figure, axes = pyplot.subplots(figsize=(7, 4.5))
        budgets = [r["budget"] for r in rows]
        axes.plot(budgets, [r["searched"] for r in rows], "o-", label="searched, 4 or 8 bits")
        axes.plot(budgets, [r["any_width"] for r in rows], "s-", label=f"{four_widths}, 4, 5, 6 or 8 bits")
        axes.plot(budgets, [r["random_mean"] for r in rows], "x--", label="random 4/8 mix, mean")
        widths = [int(width) for width in value["uniform"]]
        axes.step(
            widths, list(value["uniform"].values()), where="post", label="uniform", color="grey", marker="d"
        )
        axes.set(
            xlabel="average bits of a weight", ylabel="feature SQNR, dB", title=f"DINOv2 ViT-S/14, {data}"
        )
        axes.grid(alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(RESULTS / f"front-{data}.png", dpi=120, metadata={"Software": None})
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
    parser.add_argument(
        "what", choices=("quantize", "final", "prepare", "front", "confirm", "ablation", "summary")
    )
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
        {"prepare": prepare_all, "front": front, "confirm": confirm, "ablation": ablation}[arguments.what](
            arguments.data, arguments.threads
        )


if __name__ == "__main__":
    main()
