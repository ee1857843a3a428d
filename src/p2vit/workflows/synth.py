"""``p2vit synth``: synthesize the hardware modules, and make an energy and area table from the results."""

from pathlib import Path
from typing import Any

from p2vit.files import FileSet, one_writer
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.hardware import SynthOptions
from p2vit.workflows.plain import to_json


@one_writer("folder")
def run_synth(
    folder: Path,
    options: SynthOptions | None = None,
    *,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Synthesize the designs and write the results.

    Args:
        folder: Folder for ``synthesis.json``, ``synthesis.md``, ``technology.yaml`` and ``netlists``.
        options: Options; the defaults of `SynthOptions` if None.
        out: Receives progress.
        **changes: Fields of `SynthOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit synth --json``.

    Raises:
        P2vitError: An option is not allowed, or a tool is missing or fails.
    """
    from p2vit.hdl.tools.missing import require

    require("amaranth", "amaranth", "generating hardware")
    from p2vit.accel.machine.technology import load_technology
    from p2vit.hdl.synthesis.ecp5 import require_nextpnr
    from p2vit.hdl.synthesis.liberty import PACKAGE, load_liberty
    from p2vit.hdl.synthesis.run import chosen_designs, compare, describe, synthesize_all
    from p2vit.hdl.synthesis.table import NEEDED, technology_table
    from p2vit.hdl.synthesis.timing import has_sta

    options, out = changed(SynthOptions, options, changes), out or Feedback()
    names = chosen_designs(options.designs)
    library = load_liberty(options.liberty)
    table_base = load_technology(options.base)
    if options.ecp5:
        require_nextpnr()
    target = FileSet.within(folder, "synthesis", options.overwrite)
    target.check(
        ["synthesis.json", "synthesis.md", "technology.yaml", *(f"netlists/{name}.v" for name in names)]
    )
    notes = []
    if not library:
        notes.append(
            f"no --liberty is given and {PACKAGE} is not installed: generic gates are counted, without area and delay"
        )
    elif not has_sta():
        notes.append("OpenSTA (apt-get install opensta) is not installed: no clock period, no energy")
    for note in notes:
        out.warn(note)
    with target.stage() as stage:
        (stage.root / "netlists").mkdir()
        with out.progress() as progress:
            rows = synthesize_all(
                names, library, stage.root / "netlists", ecp5=options.ecp5, progress=progress
            )
        table = None
        if library and set(NEEDED) <= set(rows):
            default = 180.0 if "osu018" in library.name else table_base.node_nm
            table = folder / "technology.yaml"
            stage.write(
                table.name, technology_table(rows, library.name, options.node_nm or default, options.base)
            )
        result = {
            "out": str(folder),
            "library": library.name if library else None,
            "label": "measured synthesis, pre-layout" if library else "generic gate counts",
            "modules": rows,
            "against_shift": compare(rows),
            "technology": str(table) if table else None,
            "notes": notes,
        }
        # The file must not depend on the folder that it is in.
        kept = {key: value for key, value in result.items() if key != "out"} | {
            "technology": table.name if table else None
        }
        stage.write("synthesis.json", to_json(kept) + "\n")
        stage.write("synthesis.md", describe(rows, library.name if library else None) + "\n")
    return result
