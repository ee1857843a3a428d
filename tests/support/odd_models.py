"""Quantize damaged model files, and check that p2vit either refuses them or quantizes them.

A case is made from its seed alone. Each run must exit with status 0 or 2.
"""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from p2vit.cli.main import run as run_command
from support.model_damage import CHANGES, DAMAGE, KINDS, pick
from support.model_files import SAFE, Case
from support.wrappers import WRAPPERS, plain

#: Allowed exit statuses.
ALLOWED = (0, 2)


def make(seed: int, bases: dict[str, Case]) -> tuple[Case, str | None]:
    """Make a case from its seed.

    Args:
        seed: Random seed of the case.
        bases: Undamaged models, see `support.model_files.originals`.

    Returns:
        (case, name of the damage to its bytes or None).
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    base = bases[pick(rng, [n for n in bases if kind != "reconfigure" or bases[n].texts])]
    case = Case(
        kind,
        dict(base.state),
        base.write,
        json.loads(json.dumps(base.texts)),
        list(base.arguments),
        base.folder,
    )
    if kind in CHANGES:
        CHANGES[kind](case, rng)
        while rng.random() < 0.25:
            with contextlib.suppress(RuntimeError, TypeError, IndexError):  # some changes cannot be combined
                CHANGES[pick(rng, CHANGES)](case, rng)
        return case, None
    return case, kind


def write(case: Case, damage: str | None, place: Path, rng: np.random.Generator) -> Path:
    """Write the files of a case, and return the path for the command line."""
    for name, content in case.texts.items():
        (place / name).write_text(json.dumps(content))
    if case.folder:
        file = place / ("model.safetensors" if case.write == SAFE else "pytorch_model.bin")
    else:
        file = place / "weights.pth"
    if case.write in WRAPPERS:
        try:
            file = WRAPPERS[case.write](case.state, place)
        except (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError):
            torch.save(case.state, file)  # the format does not support these tensors
    elif case.write == SAFE:
        try:
            file.write_bytes(save(plain(case.state)))
        except (RuntimeError, TypeError, ValueError, NotImplementedError, KeyError):
            torch.save(case.state, file)
    else:
        torch.save(case.state, file, _use_new_zipfile_serialization=case.write != "legacy")
    if damage:
        targets = [path for path in place.iterdir() if path.is_file()] if rng.random() < 0.3 else [file]
        target = pick(rng, sorted(targets))
        data = bytearray(target.read_bytes())
        DAMAGE[damage](data, rng)
        target.write_bytes(bytes(data))
    return place if case.folder else file


@dataclass
class Found:
    """The result of a case.

    Attributes:
        kind: Name of the damage.
        code: Exit status.
        failures: Texts of all failures; empty if the run was correct.
    """

    kind: str
    code: int
    failures: list[str]


def run(seed: int, bases: dict[str, Case], place: Path) -> Found:
    """Run ``p2vit quantize`` on a case, in this process.

    Args:
        seed: Random seed of the case.
        bases: Undamaged models, see `support.model_files.originals`.
        place: Folder for the files of the case. Its content is deleted.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    case, damage = make(seed, bases)
    (place / "in").mkdir()
    spec = write(case, damage, place / "in", np.random.default_rng(seed + 1))
    arguments = [
        "quantize",
        str(spec),
        "--data",
        "noise",
        "-o",
        str(place / "out"),
        "--calib-images",
        "2",
        "--threads",
        "1",
    ]
    if seed % 10:
        arguments.append("--no-check")  # every tenth case is also compared with the original library
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command([*arguments, *case.arguments, "--json"])
    failures, said = [], err.getvalue()
    where = f"seed {seed}, {case.kind}"
    if code not in ALLOWED:
        failures.append(f"{where}: exits with {code}: {said.strip()[-400:]}")
    try:
        json.loads(out.getvalue())
    except ValueError:
        failures.append(f"{where}: prints no JSON object: {out.getvalue()[:100]!r}")
    if "Traceback" in said or "\x1b" in said or "add_safe_globals" in said:
        failures.append(f"{where}: prints {said[-300:]!r}")
    if (place / "out").exists() != (code == 0):
        failures.append(f"{where}: status {code}, and a program is {'there' if code else 'not there'}")
    return Found(case.kind, code, failures)
