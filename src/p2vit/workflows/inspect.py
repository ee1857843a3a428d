"""``p2vit inspect``: show what a program contains, and where it parts from its float model."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.errors import MissingPackageError
from p2vit.workflows.float_model import has_torch, reload_float
from p2vit.workflows.inputs import OpenProgram, open_program
from p2vit.workflows.threads import thread_count, torch_threads

if TYPE_CHECKING:
    from p2vit.quant.site_errors import SiteError

#: SQNR below which program and float model are said to part, in dB.
PARTED_DB = 20.0


def run_inspect(program: Path | OpenProgram, photo: Path | None = None, **options: Any) -> dict[str, Any]:
    """Summarize a program, and compare it with its float model on a photo if one is given.

    Args:
        program: Folder of the program, or a loaded program.
        photo: File of the photo, or None.
        **options: Arguments of `run_errors`.

    Returns:
        The keys of ``p2vit inspect --json``.

    Raises:
        ProgramError: The program cannot be loaded.
        P2vitError: As in `run_errors`, if there is a photo.
    """
    from p2vit.program.format import program_sha256
    from p2vit.program.inspect import summarize

    opened = open_program(program)
    loaded = opened.program
    return {
        **summarize(loaded).model_dump(),
        "program": opened.title,
        "program_sha256": program_sha256(loaded),
        "class_names": list(loaded.classes),
        "preprocessing": loaded.preprocessing.model_dump(mode="json"),
        "errors": None if photo is None else run_errors(opened, photo, **options),
    }


def run_errors(
    program: Path | OpenProgram,
    photo: Path,
    *,
    below: float = PARTED_DB,
    model: str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Compare every tensor of a program with its float model on one photo.

    Args:
        program: Folder of the program, or a loaded program.
        photo: File of the photo.
        below: The first tensor with an SQNR below this many dB is named.
        model: Float model, if it is not the one that the program names.
        threads: Number of threads; None uses the number of CPUs, at most 8.

    Returns:
        The key ``errors`` of ``p2vit inspect --errors --json``.

    Raises:
        ProgramError: The program cannot be loaded.
        DataError: The photo cannot be read.
        MissingPackageError: torch is not installed.
        ModelError: The float model cannot be loaded, or is not that of the program.
    """
    from p2vit.data.photo_file import check_there
    from p2vit.data.preprocess import read_pixels

    if not has_torch():
        raise MissingPackageError("torch", "comparing with the float model", "quant")
    from p2vit.quant.site_errors import first_below, site_errors

    loaded = open_program(program).program
    check_there(photo)
    pixels = read_pixels(photo, loaded.preprocessing)
    torch_threads(thread_count(threads))
    reloaded = reload_float(loaded, model, optional=False)
    sites = site_errors(loaded, reloaded, pixels, thread_count(threads))
    first = first_below(sites, below)
    return {
        "photo": str(photo),
        "model": reloaded.source,
        "below_db": below,
        "first": None if first is None else first.name,
        "sites": [_plain(site) for site in sites],
    }


def _plain(site: "SiteError") -> dict[str, Any]:
    """Return the error of one tensor as plain values; an infinite SQNR is null."""
    found = asdict(site)
    for key in ("sqnr_db", "own_sqnr_db"):
        found[key] = found[key] if math.isfinite(found[key]) else None
    worst = {key: value if math.isfinite(value) else None for key, value in list(found["worst"].items())[1:]}
    return {**found, "worst": {"index": list(site.worst.index), **worst}}
