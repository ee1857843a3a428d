"""``p2vit list``: list the models, photo sets, methods and back-ends that the other verbs accept."""

from typing import Any

import click

from p2vit.cli.shared.common import Output, common
from p2vit.workflows.listing import run_list


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""
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
        f"  {name:<18} {'makes an integer program' if entry['integer'] else 'simulated in float, for ablate only'}"
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

    This downloads nothing and needs no torch. Sizes are computed from the shapes of the architectures.
    """
    result = run_list(pattern, out=out)
    out.result(result, describe(result))
