"""Write the folder of a program: the program, its model card, and the error of each block."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2vit.program import format as program_format
from p2vit.program.format import GRAPH_FILE, TENSOR_FILE, program_sha256, save_with
from p2vit.program.graph import IntegerProgram
from p2vit.program.inspect import summarize
from p2vit.report.card import CARD_FILE, model_card
from p2vit.report.charts.columns import sensitivity_plot
from p2vit.workflows.plain import to_json

SENSITIVITY_FILE, PLOT_FILE = "sensitivity.json", "sensitivity.svg"
#: All files of the folder, the most important first.
FILES = (GRAPH_FILE, TENSOR_FILE, SENSITIVITY_FILE, PLOT_FILE, CARD_FILE)


def check_place(folder: Path, overwrite: bool) -> None:
    """Check that the folder may be written, before any time is spent on quantizing.

    Raises:
        P2vitError: The folder may not be written; the same error as on saving.
    """
    program_format.check_place(folder, overwrite)


def write_program(
    program: IntegerProgram,
    folder: Path,
    *,
    overwrite: bool,
    notes: Mapping[str, Any],
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Save a program and the files beside it in one step.

    Args:
        program: The program.
        folder: Folder for the program; see :func:`check_place`.
        overwrite: Replace an existing program.
        notes: Content of the sensitivity file: model, bits, method, photos, and ``blocks``, the error of each block.
        more: Further files: name → text.

    Returns:
        The keys that all quantizing verbs return: ``program_sha256``, ``output``, ``weight_bytes``,
        ``parameter_bytes``, ``macs``, ``blocks``.

    Raises:
        P2vitError: The folder may not be written.
    """
    blocks = [dict(block) for block in notes.get("blocks", ())]
    beside = {
        SENSITIVITY_FILE: to_json({**notes, "blocks": blocks}) + "\n",
        PLOT_FILE: sensitivity_plot(blocks),
        CARD_FILE: model_card(program, blocks),
        **(more or {}),
    }
    save_with(program, folder, beside, overwrite)
    summary = summarize(program)
    return {
        "program_sha256": program_sha256(program),
        "output": str(folder),
        "weight_bytes": summary.weight_bytes,
        "parameter_bytes": summary.parameter_bytes,
        "macs": summary.macs,
        "blocks": blocks,
    }


def program_lines(told: Mapping[str, Any]) -> list[str]:
    """Format the result of :func:`write_program` as lines for the terminal."""
    return [
        f"  weights {told['weight_bytes'] / 1e6:.2f} MB, {told['macs'] / 1e9:.3f} GMAC per photo",
        f"  program_sha256 {told['program_sha256']}",
        *(
            f"  {block['name']:<12} local {block['local_sqnr_db']:6.2f} dB"
            f"  cumulative {block['cumulative_sqnr_db']:6.2f} dB"
            for block in told["blocks"]
        ),
    ]
