"""Metadata inside an exported ONNX file."""

import json
from typing import Any

import numpy as np

from p2vit.program.graph import IntegerProgram
from p2vit.text import in_strings, portable
from p2vit.version import __version__


def model_metadata(
    program: IntegerProgram, export_format: str, program_sha256: str | None = None
) -> dict[str, str]:
    """Return the entries of the model's ``metadata_props``.

    Args:
        program: The program.
        export_format: ``onnx-integer`` or ``onnx-qdq``.
        program_sha256: Hash of the program, if known.

    Returns:
        ``p2vit.format``, ``p2vit.version``, and as JSON ``p2vit.preprocessing``, ``p2vit.classes``,
        ``p2vit.provenance`` and ``p2vit.logits``; also ``p2vit.source`` and ``p2vit.program_sha256`` if known,
        and ``p2vit.maps`` with exponents and classes of each feature map if the program has any.
    """
    logits = program.tensors[program.output]
    entries = {
        "p2vit.format": export_format,
        "p2vit.version": __version__,
        "p2vit.preprocessing": program.preprocessing.model_dump_json(),
        "p2vit.classes": _json(list(program.classes)),
        "p2vit.provenance": _json(program.provenance),
        "p2vit.logits": _json(
            {"exponent": logits.exponent.tolist(), "offset": np.asarray(logits.offset).tolist()}
        ),
    }
    if "source" in program.provenance:
        entries["p2vit.source"] = portable(str(program.provenance["source"]))
    if program.maps:
        entries["p2vit.maps"] = _json(
            {
                each.name: {
                    "exponent": program.tensors[each.name].exponent.tolist(),
                    "classes": list(each.classes),
                }
                for each in program.maps
            }
        )
    if program_sha256 is not None:
        entries["p2vit.program_sha256"] = program_sha256
    return entries


def attach_metadata(model: Any, entries: dict[str, str]) -> None:
    """Add the entries to a ``ModelProto``, sorted by key."""
    for key in sorted(entries):
        model.metadata_props.add(key=key, value=entries[key])


def read_metadata(model: Any) -> dict[str, str]:
    """Return the entries of a ``ModelProto``."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _json(value: Any) -> str:
    return json.dumps(in_strings(value, portable), sort_keys=True, default=str)
