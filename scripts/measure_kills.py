"""Kill every long verb at random moments, and fill the disk under it; count what was lost: results/kills.json.

    python scripts/measure_kills.py                    # 20 kills and 20 full disks of each verb
    python scripts/measure_kills.py --kills 2 quantize rtl

Half of the kills (SIGKILL) come at a random time, half before a random step on the disk, where files are made, renamed
and removed. Half of the runs write a new output, half replace an older one that has other people's files in it. After
each: what is there is nothing, the old output or the new one, or readers refuse it; the same command then ends with the
bytes of an undisturbed run; other people's files are all there. Disks that fill up are of a random size (tmpfs, as
root; otherwise the longest file that is allowed is): the output must be as before, with no rubbish, or complete.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2vit.cli.main import run as p2vit
from p2vit.files import RECORD, unfinished_sets

RESULTS = Path(__file__).resolve().parents[1] / "results" / "kills.json"
SEARCH = [
    "--calib-images",
    "8",
    "--held-out",
    "4",
    "--population",
    "4",
    "--generations",
    "2",
    "--threads",
    "1",
]
FOREIGN = {"notes.txt": b"mine", "own/deep/x": b"mine too"}
#: Bytes that a disk in memory hands out at once.
PAGE = 4096
#: Events on the disk before which a run may be killed; ``os.fsync`` is one too.
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


@dataclass(frozen=True)
class Verb:
    """A command to disturb.

    Attributes:
        command: Its words; OUT is the output and PROGRAM a program.
        older: Further words that make another output.
        log: The output is a log that grows; else a folder or a file.
        timed: Files of it that hold seconds.
        suffix: Of the output's name, where it is a file.
    """

    command: tuple[str, ...]
    older: tuple[str, ...] = ()
    log: bool = False
    timed: tuple[str, ...] = ()
    suffix: str = ""

    def words(self, output: Path, program: Path, *more: str) -> list[str]:
        """The command line."""
        return [
            {"OUT": str(output), "PROGRAM": str(program)}.get(word, word) for word in self.command
        ] + list(more)


DIGITS = ("digits", "--data", "digits", "--threads", "1", "-o", "OUT")
VERBS = {
    "quantize": Verb(("quantize", *DIGITS), ("--seed", "1")),
    "search": Verb(("search", *DIGITS, "--budget", "average-bits=6", *SEARCH), ("--seed", "1")),
    "demo": Verb(
        ("demo", "--benchmark", "digits", "--limit", "100", "--threads", "1", "-o", "OUT"), ("--seed", "1"),
        timed=("summary.json", "report.html"),
    ),
    "ablate": Verb(
        ("ablate", *DIGITS, "--limit", "50", "--row", "naive-", "--calib-images", "8"), ("--seed", "1"),
        timed=("ablation.json", "ablation.md", "ablation.svg"),
    ),
    "export": Verb(
        ("export", "PROGRAM", "--format", "onnx-integer", "-o", "OUT"), ("--expose", "patches"), suffix=".onnx"
    ),
    "vectors": Verb(("export", "PROGRAM", "--format", "vectors", "-o", "OUT"), ("--encoding", "hex")),
    "rtl": Verb(("rtl", "PROGRAM", "--hw", "rtl-small", "-o", "OUT"), ("--data", "digits")),
    "explore": Verb(
        ("explore", "digits", "--points", "600", "--workers", "1", "--resume", "OUT"), log=True, suffix=".jsonl"
    ),
}  # fmt: skip


def start(words: list[str], prepare: Any = None) -> int:
    """Run a command in a forked process group of its own; its process id."""
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        if prepare:
            prepare()
        code = p2vit([*words, "-q"])
    finally:
        os._exit(code)


def finish(child: int) -> int:
    """Its exit status; negative for a signal. Workers that it left behind end too."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return code


def stepper(root: Path, step: int, count: Any = None) -> Any:
    """Prepare a process to be killed before a step below a folder, or to count its steps."""

    def prepare() -> None:
        done = [0]

        def hit() -> None:
            if done[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
            if count is not None:
                count[0] = done[0]

        def hook(event: str, arguments: tuple) -> None:
            if event in EVENTS and any(str(part).startswith(str(root)) for part in arguments[:2]):
                hit()

        sys.addaudithook(hook)
        true = os.fsync

        def fsync(handle: int) -> None:
            hit()
            true(handle)

        os.fsync = fsync

    return prepare


def tree(verb: Verb, folder: Path) -> dict[str, bytes]:
    """Files below a folder that stay, without what depends on the time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or ".p2vit-new" in name or name.endswith(".p2vit-lock") or path.name == "owner":
            continue
        content = path.read_bytes()
        if path.name in verb.timed:
            content = re.sub(rb"[0-9]+(\.[0-9]+)?", b"#", content)
        elif path.name == RECORD and verb.timed and path.parent.name == "out":
            content = re.sub(rb"[0-9a-f]{64}", b"#", content)
        found[name] = content
    return found


def rubbish(folder: Path) -> list[str]:
    """Names that should be gone when a run has ended by itself."""
    return [str(path) for path in folder.rglob(".*") if ".p2vit-" in path.name and path.name != RECORD]


class Bench:
    """One verb, disturbed."""

    def __init__(self, name: str, program: Path, scratch: Path, rng: random.Random) -> None:
        self.name, self.verb, self.program, self.rng = name, VERBS[name], program, rng
        self.root = scratch / name
        self.output = self.root / f"out{self.verb.suffix}"
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.states: dict[bool, dict[str, bytes]] = {}
        self.whole: dict[bool, dict[str, bytes]] = {}
        steps = [0]
        for replace in (False, True):
            self.fresh(replace)
            self.states[replace] = tree(self.verb, self.root)
            began = time.perf_counter()
            self.expect(finish(start(self.words(replace))), {0}, "undisturbed")
            self.seconds = time.perf_counter() - began
            self.whole[replace] = tree(self.verb, self.root)
        # Counted in this process: a forked one could not tell.
        reader, writer = os.pipe()
        self.fresh(False)

        def prepare() -> None:
            stepper(self.root, -1, steps)()
            true = os._exit

            def leave(code: int) -> None:
                os.write(writer, str(steps[0]).encode())
                true(code)

            os._exit = leave  # type: ignore[assignment]

        finish(start(self.words(False), prepare))
        self.steps = int(os.read(reader, 20))
        os.close(reader)
        os.close(writer)

    def words(self, replace: bool) -> list[str]:
        """The command; a log is gone on with and never replaced."""
        return self.verb.words(
            self.output, self.program, *(["--overwrite"] if replace and not self.verb.log else [])
        )

    def fresh(self, replace: bool) -> None:
        """The state that a run begins with."""
        for entry in self.root.iterdir() if self.root.is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.root.mkdir(parents=True, exist_ok=True)
        if replace and not self.verb.log:
            words = self.verb.words(self.output, self.program, *self.verb.older)
            self.expect(finish(start(words)), {0}, "older output")
        if replace:
            own = self.root if self.verb.suffix else self.output
            for name, content in FOREIGN.items():
                (own / name).parent.mkdir(parents=True, exist_ok=True)
                (own / name).write_bytes(content)

    def expect(self, code: int, allowed: set[int], what: str) -> None:
        """Note an exit status that must not be."""
        if code not in allowed:
            self.counts["wrong exits"] += 1
            self.problems.append(f"{what}: exit {code}")

    def look(self, replace: bool) -> str:
        """What a disturbed run has left: ``before``, ``whole``, ``refused`` (nobody takes it as good) or ``half``."""
        now = tree(self.verb, self.root)
        own = "" if self.verb.suffix else f"{self.output.name}/"
        foreign = all(now.get(own + name) == content for name, content in FOREIGN.items())
        if replace and not foreign:
            self.counts["foreign files lost"] += 1
            self.problems.append("foreign files are gone")
        if now == self.whole[replace]:
            return "whole"
        if now == self.states[replace]:
            return "before"
        if self.verb.log:
            whole = self.whole[replace][self.output.name]
            log = now.get(self.output.name, b"")
            return "refused" if whole.startswith(log[: log.rfind(b"\n") + 1]) else "half"
        # A search's log, and a demo's program, are there before the rest.
        if unfinished_sets(self.root if self.verb.suffix else self.output) or self.only_steps(now, replace):
            return "refused"
        return "half"

    def only_steps(self, now: dict[str, bytes], replace: bool) -> bool:
        """Whether an output is as it was, but for its log of what was tried."""
        log = f"{self.output.name}.search.jsonl"
        rest = {name: content for name, content in now.items() if name != log}
        wanted = (
            {n: c for n, c in state.items() if n != log}
            for state in (self.states[replace], self.whole[replace])
        )
        return self.name == "search" and rest in list(wanted)

    def again(self, replace: bool, state: str, what: str) -> None:
        """Run the same command undisturbed; it must end as if nothing had happened."""
        code = finish(start(self.words(replace)))
        self.expect(code, {0, 2} if state == "whole" and not replace else {0}, f"{what}, again")
        if tree(self.verb, self.root) != self.whole[replace]:
            self.counts["other bytes after the rerun"] += 1
            self.problems.append(f"{what}: other bytes after the rerun")
        if code == 0 and (left := rubbish(self.root)):
            self.counts["rubbish"] += 1
            self.problems.append(f"{what}: {left} is left after the rerun")

    def kill(self, number: int) -> None:
        """One kill."""
        replace = bool(number & 2)
        self.fresh(replace)
        if number & 1:
            step = self.rng.randrange(self.steps)
            what = f"kill before step {step}, replace {replace}"
            child = start(self.words(replace), stepper(self.root, step))
        else:
            wait = self.rng.uniform(0, self.seconds)
            what = f"kill after {wait:.2f} s, replace {replace}"
            child = start(self.words(replace))
            time.sleep(wait)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        code = finish(child)
        self.counts["killed" if code == -signal.SIGKILL else "done before the kill"] += 1
        state = self.look(replace)
        self.counts[f"left {state}"] += 1
        if state == "half":
            self.problems.append(f"{what}: half-written and taken as good")
        self.again(replace, state, what)

    def fill(self, number: int) -> None:
        """One disk that fills up."""
        replace = bool(number & 1)
        with disk(self.root, self.room(number), self.counts) as limit:
            self.fresh_into(replace)
            code = finish(start(self.words(replace), limit))
            self.expect(code, {0, 2}, "full disk")
            self.counts["disk was large enough" if code == 0 else "disk was full"] += 1
            state = self.look(replace)
            self.counts[f"disk left {state}"] += 1
            if state == "half" or (code == 0) != (state == "whole"):
                self.counts["half after a full disk"] += 1
                self.problems.append(f"full disk, replace {replace}: exit {code} left {state}")
            if left := rubbish(self.root):
                self.counts["rubbish"] += 1
                self.problems.append(f"full disk, replace {replace}: {left} is left")

    def room(self, number: int) -> int:
        """Bytes of a disk: what is there at the beginning, and a random share of what a run needs more."""
        before, after = (
            sum(-(-len(content) // PAGE) * PAGE for content in states[bool(number & 1)].values())
            for states in (self.states, self.whole)
        )
        return before + 4 * PAGE * (number & 1) + self.rng.randrange(int(1.3 * after) + 1)

    def fresh_into(self, replace: bool) -> None:
        """The state that a run on another disk begins with: made beside, then copied."""
        aside = self.root.with_name(f"{self.name}-state")
        if replace:
            shutil.copytree(aside, self.root, dirs_exist_ok=True)

    def keep_state(self) -> None:
        """Make the state to copy from."""
        self.fresh(True)
        shutil.copytree(self.root, self.root.with_name(f"{self.name}-state"))
        self.fresh(False)


@contextlib.contextmanager
def disk(root: Path, size: int, counts: Counter) -> Iterator[Any]:
    """An empty folder that holds so many bytes; yields what a process must do to feel the limit."""
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    pages = max(8, -(-size // PAGE))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", str(root)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield None
        finally:
            subprocess.run(["umount", str(root)], check=True)
    else:
        counts["longest file instead of a disk"] += 1
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def main() -> None:
    """Measure and write the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=f"default: {', '.join(VERBS)}")
    parser.add_argument("--kills", type=int, default=20, help="of each verb, and as many full disks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    began, rows = time.perf_counter(), {}
    # Forked runs find it loaded; nothing is computed here, so no thread is lost in a fork.
    import torch  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="p2vit-kills-") as scratch:
        program = Path(scratch) / "program"
        assert finish(start(VERBS["quantize"].words(program, program))) == 0
        for name in arguments.verbs or VERBS:
            bench = Bench(name, program, Path(scratch), random.Random(f"{arguments.seed} {name}"))
            for number in range(arguments.kills):
                bench.kill(number)
            bench.keep_state()
            for number in range(arguments.kills):
                bench.fill(number)
            rows[name] = {
                "steps": bench.steps,
                **dict(sorted(bench.counts.items())),
                "problems": bench.problems,
            }
            print(f"{name}: {json.dumps(rows[name])}", flush=True)
    total = sum(len(row["problems"]) for row in rows.values())
    result = {"kills": arguments.kills, "seed": arguments.seed, "problems": total, "verbs": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{total} problems in {time.perf_counter() - began:.0f} s: {arguments.out}")
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
