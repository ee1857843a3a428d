"""Measure every ViT family at full size, with random weights, into results/families.json and its table.

    python scripts/measure_families.py            # whatever is missing, row by row; can be interrupted
    python scripts/measure_families.py --tables   # only the tables, of docs/reference/models.md and results/families.md

A row is one architecture at one width. It is measured in a process of its own, so that its peak memory is its own:
quantize on seeded noise photos (seconds, peak memory up to there), audit, every tensor against the fake-quantized
counterpart, every tensor of the native engine (and of torch) against the reference executor. Float equality compares
the canonical form with timm's and transformers' own module at full size. Weights are seeded random ones that behave
like trained ones (`random:ARCH`): they say nothing about accuracy.
"""

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS, TABLE = ROOT / "results/families.json", ROOT / "results/families.md"
PAGE = ROOT / "docs/reference/models.md"
MARKERS = "<!-- families: made by scripts/measure_families.py -->", "<!-- /families -->"

#: Family → architectures; the first one of each is the smallest.
FAMILIES: dict[str, list[str]] = {
    "DeiT": [f"deit_{width}_patch16_224" for width in ("tiny", "small", "base")],
    "ViT": ["vit_base_patch16_224", "vit_large_patch16_224"],
    "Swin": [f"swin_{width}_patch4_window7_224" for width in ("tiny", "small", "base")],
    "DINOv2": [f"vit_{width}_patch14_dinov2_224" for width in ("small", "base")],
    "DINOv2 with registers": ["vit_small_patch14_reg4_dinov2_224"],
    "DINOv3": ["vit_small_patch16_dinov3"],
    "EVA-02": ["eva02_tiny_patch14_224"],
    "CLIP": ["vit_base_patch16_clip_quickgelu_224"],
    "SigLIP": ["vit_base_patch16_siglip_224"],
}
#: timm's name where it is another than ours: the size is an argument there.
TIMM_NAMES = {
    name: name.removesuffix("_224") for names in FAMILIES.values() for name in names if "dinov2" in name
}
#: Architecture → transformers' model, its configuration, and what differs from its defaults.
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
SMALL = {"hidden_size": 384, "num_attention_heads": 6, "mlp_ratio": 4, "patch_size": 14, "image_size": 224}
TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "DeiT": ("DeiTForImageClassification", "DeiTConfig", {**TINY, "num_labels": 1000}),
    "ViT": ("ViTForImageClassification", "ViTConfig", {"num_labels": 1000}),
    "Swin": ("SwinForImageClassification", "SwinConfig", {"num_labels": 1000}),
    "DINOv2": ("Dinov2Model", "Dinov2Config", SMALL),
    "DINOv2 with registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", SMALL),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", {"num_register_tokens": 4}),
    "BEiT": (
        "BeitForImageClassification",
        "BeitConfig",
        {"use_relative_position_bias": True, "num_labels": 1000},
    ),
    "CLIP": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", {**BASE, "patch_size": 16}),
    "SigLIP": ("SiglipVisionModel", "SiglipVisionConfig", {}),
}
#: Up to this many multiply-accumulates the reference executor is what others are compared with. It is slow by
#: design; for larger programs torch takes its place, which equals it on every tensor of every smaller one.
REFERENCE_MACS = 20e9
#: Photos: fewer where a row would take long. Four-bit rows cost three attempts per layer.
IMAGES = {"w8a8": 32, "w4a8": 8}
FEWER_IMAGES = {("vit_large_patch16_224", "w8a8"): 16, ("vit_large_patch16_224", "w4a8"): 8}


def peak_gib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def noisy(model: Any) -> Any:
    """Random values everywhere, also where a library starts from zeros and ones, so that a swap would show."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value) if value.ndim < 2 else 0.01 * torch.randn_like(value))
    return model.eval()


def import_torchvision() -> Any:
    """Let timm and transformers import a torchvision that was not built for this torch; nobody calls its operators."""
    import torch

    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(8):
        try:
            import torchvision  # noqa: F401
        except ImportError:
            return fragment
        except RuntimeError as error:
            missing = str(error).partition("torchvision::")[2].split()[0]
            fragment.define(f"{missing}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]
        else:
            return fragment
    raise SystemExit("torchvision cannot be imported")


def commit() -> str:
    """The state of the code, as git names it; empty outside a checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def relative_difference(found: Any, wanted: Any) -> tuple[float, int]:
    """Largest difference over largest value between the canonical form and a library's module, on two photos."""
    import torch

    height, width = found.config.image_size
    photos = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    pixels = torch.from_numpy(photos)
    mean, std = torch.tensor(found.preprocessing.mean), torch.tensor(found.preprocessing.std)
    with torch.inference_mode():
        want = wanted(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
        got = found.module(pixels)
    return float((got - want).abs().max() / want.abs().max()), want.numel()


def float_row(family: str) -> dict[str, Any]:
    """The family's smallest model at full size, against timm and against transformers."""
    keep = import_torchvision()
    import timm
    import transformers

    from p2vit.models.sources.huggingface import load_huggingface
    from p2vit.models.sources.timm_source import from_timm_model

    name = FAMILIES[family][0]
    options = {"img_size": 224} if name in TIMM_NAMES else {}
    model = noisy(timm.create_model(TIMM_NAMES.get(name, name), pretrained=False, **options))
    ours, numbers = relative_difference(from_timm_model(model, name), model)
    versions = {"timm": timm.__version__, "transformers": transformers.__version__}
    measured = {
        "timm": ours,
        "transformers": None,
        "numbers": numbers,
        "architecture": name,
        "versions": versions,
    }
    if family not in TRANSFORMERS:
        return measured
    kind, shape, changes = TRANSFORMERS[family]
    module = noisy(getattr(transformers, kind)(getattr(transformers, shape)(**changes)))
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        found = load_huggingface(folder)

    def output(x: Any) -> Any:
        result = module(x)
        for field in ("logits", "image_embeds", "pooler_output"):
            if getattr(result, field, None) is not None:
                return getattr(result, field)
        raise SystemExit(f"{kind} has no output that is known here")

    theirs, _ = relative_difference(found, output)
    del keep
    return measured | {"transformers": theirs}


def integer_row(name: str, bits: str, images: int, threads: int) -> dict[str, Any]:
    """Quantize, audit, compare; see the module."""
    from dataclasses import replace

    import torch

    from p2vit.data.noise import NoisePhotos
    from p2vit.engine.native import NativeExecutor
    from p2vit.engine.reference import ReferenceExecutor
    from p2vit.engine.torch.executor import TorchExecutor
    from p2vit.models.registry import load_model
    from p2vit.program.audit import audit
    from p2vit.program.format import program_sha256
    from p2vit.quant.config import OURS, parse_bits
    from p2vit.quant.counterpart import unequal_tensors
    from p2vit.quant.lower import lower
    from p2vit.quant.pipeline import quantize_model
    from p2vit.quant.sensitivity import sqnr_db

    model = load_model(f"random:{name}")
    photos = NoisePhotos(model.preprocessing)
    loaded, start, cpu = peak_gib(), time.perf_counter(), time.process_time()
    config = replace(OURS, weight_bits=parse_bits(bits))
    quantized, count = quantize_model(model.module, photos.calibration(images, 0, 4), config, threads)
    program = lower(quantized, model.preprocessing)
    seconds, cpu, peak = time.perf_counter() - start, time.process_time() - cpu, peak_gib()
    print(f"{name} {bits}: quantized in {seconds:.0f} s", file=sys.stderr, flush=True)
    report = audit(program)
    pixels = next(iter(photos.evaluation(1, 1)))[0]
    names = [node.name for node in program.nodes]
    norm = (ReferenceExecutor if program.macs <= REFERENCE_MACS else TorchExecutor)(program)
    reference = norm.run(pixels, names)
    print(f"{name} {bits}: audited, {norm.name} done", file=sys.stderr, flush=True)
    mismatches = {}
    for backend in (NativeExecutor(program, threads=threads), TorchExecutor(program)):
        if backend.name != norm.name:
            run = backend.run(pixels, names)
            mismatches[backend.name] = sum(not np.array_equal(run[each], reference[each]) for each in names)
    with torch.inference_mode():
        exact = model.module.features(torch.from_numpy(pixels)).numpy()
    feature = program.tensors[program.feature].real(reference[program.feature]).reshape(exact.shape)
    return {
        "architecture": name,
        "bits": bits,
        "commit": commit(),
        "calibration_images": count,
        "threads": threads,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_gib": round(peak, 2),
        "peak_gib_before": round(loaded, 2),
        "program_sha256": program_sha256(program),
        "tensors": len(names),
        "audit_passed": report.passed,
        "float_ops": report.float_ops,
        "non_pot_scales": report.non_pot_scales,
        "max_accumulator_bits": report.max_accumulator_bits,
        "max_register_bits": report.max_register_bits,
        "unequal_to_counterpart": len(unequal_tensors(quantized, program, reference, pixels)),
        "verified_images": len(pixels),
        "verified_against": norm.name,
        "mismatches": mismatches,
        "feature_sqnr_db": round(sqnr_db(exact, feature), 2),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def pending(done: dict[str, Any]) -> list[tuple[str, ...]]:
    """What is missing: float rows, then small models, then the rest by size; the largest last."""
    first = [names[0] for names in FAMILIES.values()]
    rest = [name for names in FAMILIES.values() for name in names[1:]]
    rest.sort(key=lambda name: ("large" in name, "base" in name))
    order = [(name, "w8a8") for name in first] + [(name, "w4a8") for name in first]
    order += [(name, bits) for bits in IMAGES for name in rest]
    order.sort(key=lambda row: "large" in row[0])
    rows = {(row["architecture"], row["bits"]) for row in done["rows"]}
    floats: list[tuple[str, ...]] = [(family,) for family in FAMILIES if family not in done["float"]]
    return floats + [row for row in order if row not in rows]


def read() -> dict[str, Any]:
    """What was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"float": {}, "rows": []}


def measure(threads: int, timeout: int) -> None:
    """Run what is missing, each in a child process, and write after each."""
    for item in pending(read()):
        arguments = ["--row", *item, "--threads", str(threads)]
        child = subprocess.run(
            [sys.executable, __file__, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=False,
        )
        if child.returncode:
            print(f"{' '.join(item)}: failed with {child.returncode}", file=sys.stderr)
            continue
        done, row = read(), json.loads(child.stdout.splitlines()[-1])
        if len(item) == 1:
            done["float"][item[0]] = row
        else:
            done["rows"].append(row)
            done["rows"].sort(key=lambda each: [each["bits"] != "w8a8", *_place(each["architecture"])])
        done["machine"] = {
            "cpus": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        done["command"] = "python scripts/measure_families.py"
        RESULTS.write_text(json.dumps(done, indent=1) + "\n")
        write_tables(done)


def _place(name: str) -> list[int]:
    """Position of an architecture in the table of families."""
    return next([f, names.index(name)] for f, names in enumerate(FAMILIES.values()) if name in names)


def write_tables(done: dict[str, Any]) -> None:
    """results/families.md, and the table between the markers of docs/reference/models.md."""
    lines = [
        "# Every family at full size, random weights",
        "",
        "Made by `python scripts/measure_families.py` from `families.json`; what a column means stands in the script.",
        "Seconds were taken with two threads on a shared machine at a load of 5 to 17 on four cores, and say little.",
        "CPU seconds are those of both threads together: two idle cores need at least half of them.",
        "",
        "| architecture | bits | code | photos | seconds | CPU seconds | peak GiB | audit | widest accumulator | "
        "tensors unequal to fake-quantized | tensors of back-ends unequal | feature SQNR |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in done["rows"]:
        audit = "clean" if row["audit_passed"] else "**fails**"
        unequal = f"{row['unequal_to_counterpart']} of {row['tensors']}"
        found = ", ".join(f"{name} {count}" for name, count in row["mismatches"].items())
        others = f"{found}, of {row.get('verified_against', 'reference')}'s"
        lines.append(
            f"| `{row['architecture']}` | {row['bits'].upper()} | {row.get('commit', '')} | "
            f"{row['calibration_images']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} | "
            f"{row['peak_gib']:.2f} | {audit} | {row['max_accumulator_bits']} bits | "
            f"{unequal} | {others} | {row['feature_sqnr_db']:.1f} dB |"
        )
    TABLE.write_text("\n".join(lines) + "\n")
    text = PAGE.read_text()
    before, _, rest = text.partition(MARKERS[0])
    _, _, after = rest.partition(MARKERS[1])
    if after:
        PAGE.write_text(f"{before}{MARKERS[0]}\n{families_table(done)}\n{MARKERS[1]}{after}")


def families_table(done: dict[str, Any]) -> str:
    """Families × (float equality, integer equality, W8A8, W4A8)."""
    lines = [
        "| family | float form against timm, transformers | integer program against fake-quantized | W8A8 | W4A8 |",
        "|---|---|---|---|---|",
    ]
    for family, names in FAMILIES.items():
        rows = [row for row in done["rows"] if row["architecture"] in names]
        lines.append(
            f"| {family} | {_float_cell(done['float'].get(family))} | {_equality_cell(rows)} | "
            f"{_width_cell(rows, 'w8a8')} | {_width_cell(rows, 'w4a8')} |"
        )
    return "\n".join(lines)


def _float_cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    # Rounded up to the next power of ten: which last bits a sum has differs between machines.
    bound = [
        f"< 1e{math.ceil(math.log10(max(row[side], 1e-8) * 1.0001))}"
        if row[side] is not None
        else "not there"
        for side in ("timm", "transformers")
    ]
    return ", ".join(bound)


def _equality_cell(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "not measured"
    unequal, total = sum(r["unequal_to_counterpart"] for r in rows), sum(r["tensors"] for r in rows)
    return f"equal, all {total:,} tensors" if not unequal else f"**{unequal} of {total:,} tensors differ**"


def _width_cell(rows: list[dict[str, Any]], bits: str) -> str:
    rows = [row for row in rows if row["bits"] == bits]
    if not rows:
        return "not measured"
    bad = [r for r in rows if not r["audit_passed"] or any(r["mismatches"].values())]
    what = "audit clean, 0 mismatches" if not bad else f"**{len(bad)} fail**"
    sizes = "1 model" if len(rows) == 1 else f"{len(rows)} models"
    return f"{what} ({sizes})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=3600, help="seconds for one row")
    parser.add_argument("--tables", action="store_true", help="write the tables again and measure nothing")
    parser.add_argument("--row", nargs="+", help="FAMILY, or ARCH BITS: measure one row and print it as JSON")
    arguments = parser.parse_args()
    if arguments.tables:
        write_tables(read())
    elif not arguments.row:
        measure(arguments.threads, arguments.timeout)
    elif len(arguments.row) == 1:
        print(json.dumps(float_row(arguments.row[0])))
    else:
        name, bits = arguments.row
        images = FEWER_IMAGES.get((name, bits), IMAGES[bits])
        print(json.dumps(integer_row(name, bits, images, arguments.threads)))


if __name__ == "__main__":
    main()
