"""The model card of a program: README.md in its folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from p2vit.evaluate.eval_table import how_quantized
from p2vit.program.format import program_sha256
from p2vit.program.graph import IntegerProgram
from p2vit.program.inspect import summarize
from p2vit.text import in_code, in_markdown

CARD_FILE = "README.md"


def model_card(program: IntegerProgram, blocks: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the model card of a program.

    The card does not depend on the machine or the time, so equal programs have equal cards. It is not part of the
    program's hash.

    Args:
        program: The program.
        blocks: SQNR of each block on the calibration photos, from the quantizer.

    Returns:
        Markdown, with the metadata block that model hubs read.
    """
    provenance, summary = program.provenance, summarize(program)
    source = str(provenance.get("source", "unknown"))
    bits, method = how_quantized(program)
    width = {"mixed": "mixed widths", "unknown": "unknown widths"}.get(bits, bits.upper())
    calibration = provenance.get("calibration", {})
    pre = program.preprocessing
    output = program.tensors[program.output]
    head = program.output != program.feature
    rows = [
        ("float model", f"`{in_code(source)}`"),
        *_compared(provenance),
        ("architecture", f"`{provenance.get('architecture', 'unknown')}`"),
        ("weights and activations", f"{width}, every scale a power of two, no float operation"),
        ("method", f"`{method}`"),
        (
            "calibrated on",
            f"{calibration.get('photos', 'unknown')} photos of `{in_code(calibration.get('source') or 'unknown')}`, "
            f"seed {calibration.get('seed', 0)}",
        ),
        ("input", f"uint8 RGB, {pre.in_words}"),
        ("output", f"{output.shape[-1]} {'logits' if head else 'feature channels'}, {output.dtype}"),
        ("multiply-accumulates per photo", f"{summary.macs:,}"),
        ("weights of the linear layers", f"{summary.weight_bytes:,} bytes"),
        ("all parameters", f"{summary.parameter_bytes:,} bytes"),
    ]
    if blocks:
        last = blocks[-1]
        rows.append(
            (
                "SQNR after the last block",
                f"{last['cumulative_sqnr_db']:.2f} dB, on the calibration photos",
            )
        )
    rows += [
        ("sha256 of the program", f"`{program_sha256(program)}`"),
        ("sha256 of the float weights", f"`{provenance.get('weights_sha256', 'unknown')}`"),
        ("made with", f"p2vit {provenance.get('p2vit', 'unknown')}{_float_sums(provenance)}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    task = "image-classification" if head else "image-feature-extraction"
    return f"""---
library_name: p2vit
pipeline_tag: {task}
tags: [p2vit, vision-transformer, quantized, integer, power-of-two]
---

# {in_markdown(source)}, {width}, as an integer program

A Vision Transformer that computes with integers only, from uint8 pixels to {"logits" if head else "features"}.
`program.json` and `tensors.safetensors` are the program. The other files describe it and may be deleted.

| | |
|---|---|
{table}

## How to run it

From the folder that holds this file:

```bash
p2vit run . photo.jpg
p2vit audit .
p2vit eval . --data DIR
```

`audit` proves that there is no float operation, that every scale is a power of two, and that nothing overflows int32.
This card has no accuracy: measure it with `eval`, on photos that were not used for calibration.

## Licence

The weights come from the float model named above, so its licence applies to them. The licence of the photos that it
was trained and calibrated on may apply too. p2vit itself is Apache-2.0; that licence does not cover weights.
"""


def _float_sums(provenance: Mapping[str, Any]) -> str:
    """Return the version of torch and the CPU capability of the quantizer, or an empty text if not recorded."""
    if "cpu_capability" not in provenance:
        return ""
    return f", torch {provenance.get('torch', 'unknown')} on {provenance['cpu_capability']}"


def _compared(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return rows about the check against the original library and about the source of the preprocessing."""
    rows = []
    found = provenance.get("checked")
    if isinstance(found, Mapping):
        pixels = " through its own image pipeline" if found.get("pixels") is True else " on the same pixels"
        rows.append(
            (
                "float model compared with its original library",
                f"{found.get('library')}{pixels}, {found.get('photos')} photos: outputs differ by "
                f"{found.get('difference')} of the largest output",
            )
        )
    if taken := provenance.get("preprocessing_from"):
        rows.append(("source of the preprocessing", str(taken)))
    return rows
