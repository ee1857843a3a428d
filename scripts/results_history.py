"""Keep what each file of results/ said when it was measured: results/history.jsonl, one line per measurement.

python scripts/results_history.py                       # record files that changed; their JSON says on which machine
python scripts/results_history.py --machine "8 cores of an AMD EPYC 9554, idle" elpv-w8a8.json
python scripts/results_history.py --from-git            # write the history anew, from every committed version

A line holds the file, the date, the command, the machine, a hash of the file, and its numbers. The site draws trends
from it (scripts/site/results_pages.py), so a figure that is measured anew stands beside the older ones.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
HISTORY = RESULTS / "history.jsonl"
#: Keys that are not figures.
NOT_FIGURES = {
    "seed",
    "threads",
    "processes",
    "images",
    "calibration_images",
    "batch",
    "batch_size",
    "machine",
} | {"versions", "layers", "per_class", "confusion", "blocks", "first_seeds", "ops"}
#: A history line holds at most so many figures.
MOST = 60


def figures(found: Any, prefix: str = "", depth: int = 2) -> Iterator[tuple[str, float]]:
    """Yield (name, number) of the numbers of a JSON object, down to ``depth`` levels of objects."""
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        if isinstance(value, bool) or key in NOT_FIGURES or str(key).startswith("_"):
            continue
        if isinstance(value, int | float):
            yield prefix + key, value
        elif depth > 1 and isinstance(value, list):
            for row in value:
                if label := row_label(row):
                    yield from figures(row, f"{prefix}{label}: ", depth - 1)
        elif depth > 1 and key not in NOT_FIGURES:
            yield from figures(value, f"{prefix}{key}.", depth - 1)


def row_label(row: Any) -> str:
    """Return the label of a row of a table, from its texts and its batch size; empty if it has none."""
    if not isinstance(row, dict):
        return ""
    keys = ("name", "system", "model", "architecture", "runtime", "bits", "batch", "seed", "widths", "budget")
    return ", ".join(str(row[key]) for key in keys if isinstance(row.get(key), str | int | float))


def commands() -> dict[str, str]:
    """Return file or folder of results/ → command, from the table in results/README.md."""
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|$", (RESULTS / "README.md").read_text("utf-8"), re.MULTILINE)
    return {name: about for names, about in rows for name in re.findall(r"`([^`]+)`", names)}


def command_of(name: str, found: Any) -> str:
    """Return the command that wrote a file of results/: as the file says, or as the table in results/README.md says."""
    said = found.get("command") or found.get("commands") if isinstance(found, dict) else None
    if said:
        return "; ".join(
            map(str, said.values() if isinstance(said, dict) else [said] if isinstance(said, str) else said)
        )
    known = commands()
    for key in (name, *(f"{parent.as_posix()}/" for parent in Path(name).parents)):
        if key in known:
            return re.split(r"`, |; ", known[key])[0].replace("`", "")
    return ""


def machine_of(found: Any) -> str | None:
    """Return the machine that a JSON object names, as text. None if it names none."""
    machine = found.get("machine") if isinstance(found, dict) else None
    if isinstance(machine, str):
        return machine.split(", '")[0].split(", Python")[0]
    if isinstance(machine, dict) and (machine.get("cpus") or machine.get("cores")):
        cores = machine.get("cpus") or machine.get("cores")
        return f"{cores} cores, {machine.get('machine') or machine.get('cpu')}"
    said = re.search(r"\d+ cores of an? [A-Z]\w+(?: [A-Z]\w+)*", json.dumps(found)[:4000])
    return said[0] if said else None


def entry(name: str, data: bytes, date: str, machine: str) -> dict[str, Any]:
    """Return the line of one measurement."""
    found = json.loads(data)
    return {
        "file": name,
        "date": date,
        "sha256": hashlib.sha256(data).hexdigest()[:16],
        "command": command_of(name, found),
        "machine": machine,
        "figures": dict(islice(figures(found), MOST)),
    }


def read() -> list[dict[str, Any]]:
    """Return the measurements, oldest first."""
    if not HISTORY.is_file():
        return []
    rows = [json.loads(line) for line in HISTORY.read_text("utf-8").splitlines()]
    return sorted(rows, key=lambda row: (row["file"], row["date"]))


def names() -> list[str]:
    """Return the measured files, relative to results/."""
    found = (path for path in RESULTS.rglob("*.json") if not path.name.startswith("."))
    return sorted(path.relative_to(RESULTS).as_posix() for path in found)


def not_recorded() -> list[str]:
    """Return the files whose present content has no line in the history."""
    known = {(row["file"], row["sha256"]) for row in read()}
    return [
        name
        for name in names()
        if (name, hashlib.sha256((RESULTS / name).read_bytes()).hexdigest()[:16]) not in known
    ]


def usual_machine() -> str:
    """Return the machine that results/README.md names for files that name none."""
    [found] = re.findall(
        r"the machine was (.+?)\.", (RESULTS / "README.md").read_text("utf-8").replace("\n", " ")
    )
    return found


def write(rows: list[dict[str, Any]]) -> None:
    """Write the history, in the order of files and dates."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    HISTORY.write_text("\n".join(lines) + "\n", "utf-8")


def from_git() -> list[dict[str, Any]]:
    """Return a line for every committed version of every measured file."""
    rows = []
    for name in names():
        log = ["git", "log", "--reverse", "--format=%H %cs", "--", f"results/{name}"]
        last = None
        for line in subprocess.check_output(log, cwd=ROOT, text=True).splitlines():
            commit, date = line.split()
            data = subprocess.run(
                ["git", "show", f"{commit}:results/{name}"], cwd=ROOT, capture_output=True, check=False
            ).stdout
            try:
                found = json.loads(data)
            except ValueError:
                continue  # Not there, or not JSON, in that commit
            row = entry(name, data, date, machine_of(found) or usual_machine())
            if last is None or row["figures"] != last["figures"]:
                rows.append(row)
            else:
                rows[-1] = {**row, "date": last["date"]}  # Only texts changed: the same measurement
            last = rows[-1]
    return rows


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="files of results/; all that changed if omitted")
    parser.add_argument("--machine", help="processor and number of cores, and what else was running")
    parser.add_argument("--from-git", action="store_true", help="write the history anew, from all commits")
    arguments = parser.parse_args()
    if arguments.from_git:
        return write(from_git())
    rows, today = read(), datetime.now(UTC).date().isoformat()
    for name in arguments.files or not_recorded():
        data = (RESULTS / name).read_bytes()
        machine = arguments.machine or machine_of(json.loads(data))
        if machine is None:
            sys.exit(f"results/{name} does not say on which machine it was measured; say so with --machine")
        rows.append(entry(name, data, today, machine))
    write(sorted(rows, key=lambda row: (row["file"], row["date"])))


if __name__ == "__main__":
    main()
