"""The same integers everywhere: run programs on every target and compare byte by byte with the reference.

    make everywhere
    python scripts/everywhere/measure.py --programs digits --targets s390x,cortex-m4

Writes results/everywhere.json and results/everywhere.md after each row. Rows of other targets stay if they are of the
same program. A target whose tools are missing gets no row, and the reason is printed. Exit status 1 if a byte differs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from browser import BROWSERS, missing_browser, run_in_browser
from programs import MODELS, Subject
from targets import PROCESSORS, Target

from p2vit.engine.native import NativeExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx.executor import OnnxExecutor, OpenVinoExecutor

ROOT = Path(__file__).resolve().parents[2]
#: Executors of p2vit itself.
ENGINES: dict[str, tuple[str, Callable[..., Any]]] = {
    "native": ("native engine", NativeExecutor),
    "onnx": ("ONNX Runtime, onnx-integer", OnnxExecutor),
    "openvino": ("OpenVINO, onnx-integer", OpenVinoExecutor),
}
HEAD = """# The same integers everywhere

`make everywhere` wrote this page. Each row ran the same program on the same photos as the reference executor and
compared the results byte by byte: outputs and features of every photo. In all rows but those of the browser, every
tensor in between was compared too, for the first {traced} photos. A tensor counts in the width in which the program
stores it.

"""
TAIL = """
- *digits* is the program of the benchmark, on its held-out photos. *DeiT-T* has random weights and photos of noise. The
  first two photos are black and white.
- x86-64 ran on this machine. The other processors ran in QEMU {qemu}. QEMU is slow, so DeiT-T has fewer photos there.
- Code for Linux was compiled by zig {zig} (clang) or the machine's own compiler, for Cortex-M by arm-none-eabi-gcc
  without a C library, all with `-std=c99 -Wall -Wextra -Werror -Wconversion`.
- Cortex-M: digits takes {flash:,} bytes of flash with the start-up code, and {ram:,} bytes of RAM with the photo, the
  outputs and the stack that was used ({most}).
- WebAssembly ran in Chromium {chromium}: the files of `p2vit export --format web`.
"""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_processor(target: Target, subject: Subject, photos: int) -> dict[str, Any]:
    """Compile for a processor, run there, and compare."""
    folder = subject.folder / "c"
    program = target.build(folder, subject.traced)
    (folder / "photos.bin").write_bytes(subject.pixels[:photos].tobytes())
    (folder / "integers.bin").unlink(missing_ok=True)
    start = time.perf_counter()
    target.run(program)
    seconds = time.perf_counter() - start
    found = subject.compare(*subject.parse((folder / "integers.bin").read_bytes(), photos))
    row = row_of(subject, target.name, target.title, found, seconds)
    if target.bare:
        row["flash_bytes"], row["ram_bytes"] = target.sizes(program)
    return row


def run_engine(name: str, subject: Subject, photos: int) -> dict[str, Any]:
    """Run one of p2vit's executors, and compare."""
    title, make = ENGINES[name]
    start = time.perf_counter()
    found = subject.compare(*subject.of_executor(make(subject.program), photos))
    return row_of(subject, name, title, found, time.perf_counter() - start)


def row_of(subject: Subject, name: str, title: str, found: Any, seconds: float) -> dict[str, Any]:
    return {
        "program": subject.name,
        "sha256": subject.sha256,
        "target": name,
        "title": title,
        "photos": found.photos,
        "bytes_compared": found.compared,
        "bytes_differing": found.differing,
        "seconds": round(seconds, 2),
    }


def rows(subject: Subject, names: list[str], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run a program on every target that this machine can reach."""
    subject.write_c()
    for name in names:
        processor = PROCESSORS.get(name)
        if processor is not None:
            missing = processor.missing()
            if processor.bare and subject.name != "digits":
                continue  # too large for a microcontroller
        else:
            missing = missing_browser() if name in BROWSERS else None
        if missing is not None:
            say(f"{subject.name} on {name}: left out; this machine lacks {missing}")
            continue
        emulated = processor is not None and processor.emulator and not processor.bare
        slow = (emulated or name == "wasm-scalar") and subject.name != "digits"
        photos = min(len(subject.pixels), options.emulated_photos if slow else options.photos)
        try:
            if processor is not None:
                row = run_processor(processor, subject, photos)
            elif name in BROWSERS:
                found, seconds = run_in_browser(name, subject, photos)
                row = row_of(subject, name, BROWSERS[name], subject.compare([], found), seconds)
            else:
                row = run_engine(name, subject, photos)
        except P2vitError as error:
            say(f"{subject.name} on {name}: left out; {error}")
            continue
        say(
            f"{subject.name} on {row['title']}: {row['photos']} photos, {row['bytes_compared']:,} bytes, "
            f"{row['bytes_differing']:,} differ, {row['seconds']} s"
        )
        yield row


def page(rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Format the rows as Markdown."""
    lines = [HEAD.format(**facts), "| target |", "|---|"]
    names = [name for name in MODELS if any(row["program"] == name for row in rows)]
    for name in names:
        title = {"digits": "digits", "deit-t": "DeiT-T"}[name]
        lines[1] += f" {title}: photos | bytes compared | bytes that differ |"
        lines[2] += "---|---|---|"
    for title in dict.fromkeys(row["title"] for row in rows):
        line = f"| {title} |"
        for name in names:
            row = next((row for row in rows if (row["title"], row["program"]) == (title, name)), None)
            line += (
                " – | – | – |"
                if row is None
                else f" {row['photos']} | {row['bytes_compared']:,} | **{row['bytes_differing']:,}** |"
            )
        lines.append(line)
    bare = [row for row in rows if "flash_bytes" in row]
    most = max(
        bare,
        key=lambda row: row["flash_bytes"],
        default={"flash_bytes": 0, "ram_bytes": 0, "title": "not run"},
    )
    tail = TAIL.format(**facts, flash=most["flash_bytes"], ram=most["ram_bytes"], most=most["title"])
    return "\n".join(lines) + "\n" + tail


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    targets = [*ENGINES, *PROCESSORS, *BROWSERS]
    parser.add_argument("--programs", default=",".join(MODELS))
    parser.add_argument("--targets", default=",".join(targets))
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--emulated-photos", type=int, default=8, help="Photos of DeiT-T in emulation.")
    parser.add_argument("--traced", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "everywhere")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "everywhere.json")
    options = parser.parse_args()
    names = options.targets.split(",")
    if unknown := [name for name in names if name not in targets]:
        parser.error(f"unknown target {unknown[0]}; there are {', '.join(targets)}")
    kept = json.loads(options.output.read_text(encoding="utf-8"))["rows"] if options.output.exists() else []
    facts = {"traced": options.traced, **versions()}
    order = [(program, target) for program in MODELS for target in targets]
    for name in options.programs.split(","):
        subject = Subject.of_model(name, options.folder, options.photos, options.traced)
        kept = [row for row in kept if row["program"] != name or row["sha256"] == subject.sha256]
        for made in rows(subject, names, options):
            kept = [row for row in kept if (row["program"], row["target"]) != (name, made["target"])] + [made]
            kept.sort(key=lambda row: order.index((row["program"], row["target"])))
            options.output.write_text(
                json.dumps({"facts": facts, "rows": kept}, indent=1) + "\n", encoding="utf-8"
            )
            options.output.with_suffix(".md").write_text(page(kept, facts), encoding="utf-8")
    return int(not kept or any(row["bytes_differing"] for row in kept))


def versions() -> dict[str, str]:
    """Return the versions of the tools, as far as they are here."""
    import re
    import subprocess

    found = {}
    for name, command in {
        "qemu": ["qemu-aarch64", "--version"],
        "zig": [sys.executable, "-m", "ziglang", "version"],
        "chromium": ["chromium", "--version"],
    }.items():
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:
            said = ""
        number = re.search(r"\d+(\.\d+)+", said)
        found[name] = number[0] if number else "(not here)"
    return found


if __name__ == "__main__":
    sys.exit(main())
