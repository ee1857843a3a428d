"""Measure the front of mixed widths, into results/search/front-DATA.json, .md and .png.

    python scripts/measure_search.py prepare elpv         # round all layers at all widths, once
    python scripts/measure_front.py search elpv           # searched, random, uniform; composed from the library
    python scripts/measure_front.py programs elpv         # those mixes quantized anew, on all held-out photos
    python scripts/measure_front.py draw elpv

``search`` sees calibration photos only. ``programs`` judges what ``search`` chose and chooses nothing. Both may be
killed and run again, beside each other as well; ``--widths 4/8`` and ``--widths 4/5/6/8`` share the one between two
processes, ``--part 1/2`` and ``--part 2/2`` the other.
"""

import argparse
import itertools
import json
import pickle
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure_search import OUT, PHOTOS, RESULTS, average, calibration, narrowed, prepared_file, write

from p2vit.data.benchmarks import open_photos
from p2vit.engine.registry import fastest
from p2vit.evaluate.ablation import Remembered
from p2vit.evaluate.accuracy import Classes, executor_predict, measure
from p2vit.models.registry import load_model
from p2vit.program.audit import audit
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from p2vit.quant.search.finalists import MARGIN_DB
from p2vit.quant.search.fine import Evolution
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.run import PreparedSearch, SearchConfig, search
from p2vit.quant.search.run import uniform as library_uniform
from p2vit.quant.search.space import Space
from p2vit.workflows.float_model import float_predict

BUDGETS = (4.25, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 7.75)
#: What a layer may have: name in the JSON → widths.
SPACES = {"4/8": (4, 8), "4/5/6/8": (4, 5, 6, 8)}
RANDOM_MIXES = 25
#: Half the command's generations: 18 searches are 18 times its minutes.
EVOLUTION = Evolution(generations=4)
#: Key of a row that holds what a kind of program is made of.
BITS_OF = {"searched": "bits", "random": "random_bits"}
BATCH = 8


def genome(ready: PreparedSearch, bits: dict[str, int]) -> str:
    """One digit per layer."""
    return "".join(str(bits[layer.name]) for layer in ready.scorer.library.layers)


def kept(data: str, name: str) -> Path:
    """Where a part of the measurement is kept until all are there."""
    folder = OUT / f"front-{data}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name.replace('/', '').replace(' ', '-')}.json"


def search_all(data: str, spaces: list[str], threads: int) -> None:
    """A row for each budget: the best mix found, what chance finds, and one width for all."""
    ready = pickle.loads(prepared_file(data).read_bytes())
    scorer, layers = ready.scorer, ready.scorer.library.layers
    uniform = {
        width: scorer.score(library_uniform(scorer.library, width), threads)
        for width in scorer.library.widths
    }
    for limit, name in ((limit, name) for limit in BUDGETS for name in spaces):
        file, widths = kept(data, f"row {name} {limit}"), SPACES[name]
        if file.exists():
            continue
        some, start = narrowed(ready, widths), time.perf_counter()
        budget = average(limit, some)
        found = search(some, budget, SearchConfig(widths=widths, evolution=EVOLUTION), threads=threads)
        seconds = time.perf_counter() - start
        coarse = search(some, budget, SearchConfig(widths=widths, fine=False), threads=threads)
        random = np.random.default_rng([int(limit * 100), len(widths)])
        space = Space(layers, widths, budget)
        mixes = [space.bits(space.random(random)) for _ in range(RANDOM_MIXES)]
        scores = [scorer.score(bits, threads) for bits in mixes]
        width = max(width for width in widths if width <= limit)
        row = {
            "budget": limit,
            "widths": name,
            "searched": found.sqnr_db,
            "coarse": coarse.sqnr_db,
            "random_mean": statistics.mean(scores),
            "random_best": max(scores),
            "uniform": uniform[width],
            "uniform_bits": width,
            "cost": found.cost,
            "candidates": found.candidates,
            "seconds": round(seconds, 1),
            "held_out_images": len(scorer.pixels),
            "bits": genome(ready, found.bits_per_layer),
            # The first one drawn, whatever its score.
            "random_bits": genome(ready, mixes[0]),
        }
        file.write_text(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if "bits" not in key}, flush=True)


def points(data: str) -> Iterator[tuple[str, str]]:
    """What becomes a program, as soon as its row is there: name, one digit per layer."""
    for width in SPACES["4/5/6/8"]:
        yield f"uniform {width}", str(width)
    wanted = [("searched", limit, name) for limit in BUDGETS for name in SPACES]
    wanted += [("random", limit, "4/8") for limit in BUDGETS]
    for kind, limit, name in wanted:
        while not (file := kept(data, f"row {name} {limit}")).exists():
            time.sleep(5)
        yield f"{kind} {name} {limit}", json.loads(file.read_text())[BITS_OF[kind]]


def make_programs(data: str, threads: int, part: str) -> None:
    """Quantize each mix anew and judge it; waits for rows that another process is still searching."""
    model, (number, of) = load_model(f"dinov2-{data}"), map(int, part.split("/"))
    photos, names = open_photos(data, model.preprocessing), [layer.name for layer in searchable(model.config)]
    exact: Remembered | None = None
    scorer = pickle.loads(prepared_file(data).read_bytes()).scorer
    for name, digits in itertools.islice(points(data), number - 1, None, of):
        file = kept(data, name)
        if file.exists() and json.loads(file.read_text())["bits"] == digits:
            continue
        widths = map(int, digits * len(names) if len(digits) == 1 else digits)
        config = replace(OURS, layer_bits=dict(zip(names, widths, strict=True)))
        start = time.process_time()
        result = quantize(model, [calibration(data, model, PHOTOS)], config, threads=threads)
        core_seconds, proof = time.process_time() - start, audit(result.program)
        exact = exact or Remembered(list(photos.evaluation(None, BATCH)), float_predict(model))
        measured = measure(
            executor_predict(result.program, fastest(result.program, threads)),
            exact,
            exact.batches,
            Classes(photos.classes, model.class_names, model.config.num_classes),
            total=sum(len(labels) for _, labels in exact.batches),
            workers=threads,
        )
        row = {"name": name, "bits": digits, **measured.model_dump(include={"images", "top1", "top1_float"})}
        row |= measured.model_dump(include={"agreement", "sqnr_db"})
        row |= {"held_out_sqnr_db": scorer.sqnr(result.program, threads), "problems": proof.problems}
        row |= {"core_seconds": round(core_seconds, 1)}
        file.write_text(json.dumps(row) + "\n")
        print({key: each for key, each in row.items() if key != "bits"}, flush=True)


def kept_program(row: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """What the command keeps: the mix found, or one width for all, by the calibration photos held out."""
    found, flat = made[f"searched {row['widths']} {row['budget']}"], made[f"uniform {row['uniform_bits']}"]
    if row["uniform"] <= row["searched"] - MARGIN_DB:
        return found
    return max(found, flat, key=lambda each: each["held_out_sqnr_db"])


def gathered(data: str) -> dict[str, Any]:
    """The front with its programs, into one file."""
    layers = [layer.name for layer in searchable(load_model(f"dinov2-{data}").config)]
    rows = [kept(data, f"row {name} {limit}") for limit in BUDGETS for name in SPACES]
    programs = [kept(data, name) for name, _ in points(data)]
    value = {"layers": layers}
    value |= {
        key: [json.loads(file.read_text()) for file in files]
        for key, files in (("rows", rows), ("programs", programs))
    }
    write(f"front-{data}", value)
    return value


def draw(data: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    value = gathered(data)
    made = {row["name"]: row for row in value["programs"]}
    figure, panes = pyplot.subplots(1, 2, figsize=(12, 4.8), sharey=True)
    images = value["rows"][0]["held_out_images"]
    titles = (
        f"composed, {images} calibration photos held out",
        f"integer programs, {value['programs'][0]['images']:,} evaluation photos",
    )
    for axes, title in zip(panes, titles, strict=True):
        axes.set(xlabel="average bits of a weight", title=title)
        axes.grid(alpha=0.3)
    widths = SPACES["4/5/6/8"]
    composed = {row["uniform_bits"]: row["uniform"] for row in value["rows"]}
    for axes, levels in (
        (panes[0], composed),
        (panes[1], {width: made[f"uniform {width}"]["sqnr_db"] for width in widths}),
    ):
        axes.plot(list(levels), list(levels.values()), "d", color="black", label="uniform")
    for name, colour in zip(SPACES, ("C0", "C1"), strict=True):
        rows = [row for row in value["rows"] if row["widths"] == name]
        budgets = [row["budget"] for row in rows]
        panes[0].plot(
            budgets, [row["searched"] for row in rows], "o-", color=colour, label=f"searched {name}"
        )
        panes[0].plot(
            budgets, [row["random_mean"] for row in rows], "x--", color=colour, label=f"random {name}, mean"
        )
        for kind, style in (("searched", "o-"), ("random", "x--")):
            if f"{kind} {name} {budgets[0]}" in made:
                levels = [made[f"{kind} {name} {budget}"]["sqnr_db"] for budget in budgets]
                if kind == "searched":
                    levels = [kept_program(row, made)["sqnr_db"] for row in rows]
                panes[1].plot(budgets, levels, style, color=colour, label=f"{kind} {name}")
    panes[0].set(ylabel=f"feature SQNR, dB (DINOv2 ViT-S/14, {data})")
    for axes in panes:
        axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / f"front-{data}.png", dpi=110, metadata={"Software": None})
    (RESULTS / f"front-{data}.md").write_text(tables(data, value, made))


def tables(data: str, value: dict[str, Any], made: dict[str, Any]) -> str:
    lines = ["# Measured by scripts/measure_front.py", ""]
    lines += [f"## Integer programs on {value['programs'][0]['images']:,} evaluation photos of {data}", ""]
    lines += [
        f"Each mix quantized anew on {PHOTOS} calibration photos. SQNR in dB, top-1 in %. *Searched* is what the"
    ]
    lines += [
        "command keeps: the mix found, or one width for all (named), by the calibration photos held out.",
        "",
    ]
    lines += [
        "| budget | widths | searched | random 4/8 | widest uniform | searched, top-1 | random | uniform |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in value["rows"]:
        # One mix drawn at random, of 4 and 8 bits, stands for chance in both rows of a budget.
        names = [f"random 4/8 {row['budget']}", f"uniform {row['uniform_bits']}"]
        ours = [kept_program(row, made), *(made[name] for name in names)]
        cells = [f"{each['sqnr_db']:.2f}" for each in ours] + [f"{each['top1']:.2f}" for each in ours]
        cells[0] += "" if ours[0]["name"].startswith("searched") else f" ({ours[0]['name']})"
        cells[2] += f" ({row['uniform_bits']})"
        lines.append(f"| {row['budget']} | {row['widths']} | {' | '.join(cells)} |")
    lines += [
        "",
        f"## Composed from the library: SQNR on {value['rows'][0]['held_out_images']} calibration photos",
        "",
    ]
    lines += [
        f"| budget | widths | searched | coarse only | mean of {RANDOM_MIXES} random | best of them "
        "| widest uniform | candidates | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in value["rows"]:
        keys = ("searched", "coarse", "random_mean", "random_best", "uniform")
        cells = [f"{row[key]:.2f}" for key in keys]
        cells[4] += f" ({row['uniform_bits']})"
        tail = f"{row['candidates']} | {row['seconds']:.0f}"
        lines.append(f"| {row['budget']} | {row['widths']} | {' | '.join(cells)} | {tail} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("search", "programs", "draw"))
    parser.add_argument("data", nargs="?", default="elpv", choices=("elpv", "textile"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--widths", choices=list(SPACES), help="Of the search: this process's share.")
    parser.add_argument("--part", default="1/1", help="Of the programs: this process's share.")
    arguments = parser.parse_args()
    if arguments.what == "search":
        spaces = [arguments.widths] if arguments.widths else list(SPACES)
        search_all(arguments.data, spaces, arguments.threads)
    elif arguments.what == "programs":
        make_programs(arguments.data, arguments.threads, arguments.part)
    else:
        draw(arguments.data)


if __name__ == "__main__":
    main()
