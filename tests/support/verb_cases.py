"""Command lines over every verb and every option that the commands themselves declare, and what may come of them."""

import contextlib
import importlib
import io
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from p2vit.cli.main import cli
from p2vit.cli.main import run as run_command
from support.odd_files import FILES, NAMES, Make, Place

#: Exit statuses that an input may have.
ALLOWED = (0, 1, 2, 130)
#: Seconds after which a case is stopped as Ctrl-C does; it may have much to do, but it must stop.
STOP_AFTER = 4.0
#: What makes a verb's run short; further options follow and replace these. A verb that is not here runs without.
SHORT: dict[str, list[str]] = {
    "demo": ["-o", "work/demo", "--benchmark", "digits", "--limit", "3", "--calib-images", "2"],
    "quantize": ["digits", "--data", "photos", "-o", "work/program", "--calib-images", "2"],
    "eval": ["small", "--data", "photos", "--no-float", "--limit", "3"],
    "audit": ["small"],
    "inspect": ["small"],
    "verify": ["small", "--images", "1"],
    "run": ["small", "photos/0/a.png"],
    "report": ["small", "-o", "work/report.html", "--limit", "3"],
    "ablate": ["digits", "--data", "photos", "-o", "work/ablation", "--limit", "2", "--calib-images", "2", "--row", "p2vit"],  # noqa: E501
    "reproduce": ["--limit", "2", "--calib-images", "2", "-o", "work/reproduce"],
    "search": ["digits", "--data", "digits", "-o", "work/search", "--budget", "average-bits=6", "--calib-images", "2",
               "--held-out", "2", "--generations", "1", "--population", "2", "--no-fine", "--no-check"],
    "export": ["small", "--format", "vectors", "-o", "work/vectors", "--images", "1"],
    "bench": ["small", "--against", "", "--rounds", "1", "--batches", "1", "--cache", "work/bench"],
    "simulate": ["deit_tiny_patch16_224"],
    "compare": ["deit_tiny_patch16_224", "--hw", "paper"],
    "explore": ["deit_tiny_patch16_224", "--points", "20", "--workers", "1"],
    "rtl": ["small", "-o", "work/rtl", "--hw", "rtl-small"],
    "cosim": ["small", "--hw", "rtl-small", "--predict"],
    "synth": ["-o", "work/synth", "--design", "no"],
}  # fmt: skip
#: Words that an option of this name, or an argument, often gets; options that are not here get general ones only.
LIKELY: dict[str, list[str]] = {
    "model": ["digits", "random:digits", "small", "windows", "digits-program", "deit_tiny_patch16_224", "random:no",
              "hf:", "hf:no/no", "random:", "dinov2-", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224.x"],
    "program": ["small", "windows", "digits-program"],
    "data": ["photos", "digits", "noise", "elpv2", "empty"],
    "hardware": ["paper", "rtl-small", "fpga", "edge", "Paper", "rtl.yaml"],
    "space": ["chunks", "Chunks"],
    "base": ["horowitz45", "cacti28", "no"],
    "budget": ["average-bits=6", "average-bits=nan", "bytes=16M", "bytes=-1", "bytes=1e400", "bitops=300G", "=", "==", "x=1",  # noqa: E501
               "latency-ms=8", "latency-ms=0", "area_mm2=5", "area_mm2=inf", "area_mm2=nan", "dsps=1", "power_mw=1e-300",  # noqa: E501
               "average-bits=", "average-bits=6=6", "bytes=１６"],
    "objectives": ["latency_ms", "dsps", "utilization"],
    "changes": ["lines=32", "lanes=4", "lines=0", "lines=-1", "lines=1e9", "lines=4294967296", "row_rows=192", "=", "lines",  # noqa: E501
                "lines=", "x=1", "lines=3", "slots=1", "lines=١", "row_rows=99999999999",
                "chunks.mac_array.lines=40", "clock_mhz=inf", "clock_mhz=nan"],
    "bits": ["w8a8", "w4a8", "w2a8", "w1a8", "w9a8", "W8A8", "w8", "w٤a8", "a8w8"],
    "widths": ["4,8", "4", "8,4,8", "1,9", "", ",", "4,,8", "x", "8,²"],
    "method": ["p2vit", "p2vit-log2", "paper", "naive-ceil", "minmax"],
    "batches": ["1,8", "1", "0", "-1", "x", "", ",", "²", "99999999999999999999", "1" * 5000],
    "against": ["onnxruntime", "openvino", "torch", "no", ",", "onnxruntime,", "ONNX"],
    "backends": ["reference,native", "reference", "native,onnx", ",", "reference,reference", "torch,reference", "no,yes"],  # noqa: E501
    "device": ["cpu", "cuda", "cuda:0", "cuda:7", "CUDA", "gpu"],
    "backend": ["auto", "native", "torch", "reference", "onnx", "openvino", "Native"],
    "arch": ["digits", "deit_tiny_patch16_224", "digits.tag", ".", "no"],
    "image_size": ["8", "16", "8x8", "1", "0", "9", "8x", "x8", "99999999", "٨", "²", "8X8", "-8"],
    "mean": ["0.5", "0.5,0.5,0.5", "nan", "inf,0,0", "1e300", "0.5,0.5", ",,"],
    "std": ["0.5", "0", "-1", "nan", "1e-300", "1e300", "inf"],
    "crop_pct": ["0.9", "0", "-1", "nan", "inf", "1e-9", "1e9", "2"],
    "rows": ["p2vit", "paper", "no"],
    "models": ["DeiT-T", "Swin-*", "[", "*", "no", ""],
    "expose": ["head", "no", "pixels", "features", "tokens"],
    "host": ["127.0.0.1", "::1", "no", "256.0.0.1", "", "999.1"],
    "designs": ["no", "softmax", "mac_array"],
    "address": ["127.0.0.1:1", "no", "tcp://", ":", "127.0.0.1:99999", "ray://x:1", "[::1]:1"],
    "gallery": ["photos", "digits", "empty"],
    "pattern": ["deit", "*", "[", ""],
    "photos": ["photos", "photos/0/a.png", "bytes"],
}  # fmt: skip
#: Which of the files an option may be given; others now and then too.
READS: dict[str, list[str]] = {
    "hardware": ["machine"],
    "space": ["space"],
    "base": ["technology"],
    "labels": ["labels"],
    "class_index": ["classes", "class list"],
    "class_names": ["class list"],
    "evaluation": ["evaluation"],
    "log": ["log"],
    "program": ["notes"],
    "model": ["weights", "notes"],
    "liberty": ["liberty"],
}
NUMBERS = [
    "0", "1", "2", "3", "-1", "7", "255", "1024", "65536", "2147483647", "2147483648", "4294967296", "9223372036854775807",  # noqa: E501
    "9223372036854775808", "1e3", "1.5", "0.5", "nan", "NaN", "inf", "-inf", "1e999", "-0", "+1", " 1", "1_000", "0x10", "٣",  # noqa: E501
    "", "one", "1,000", "1" * 5000, "1e-320",
]  # fmt: skip
#: Imported before the first case.
HEAVY = (
    "torch",
    "optuna",
    "onnx",
    "onnxruntime",
    "starlette",
    "uvicorn",
    "prometheus_client",
    "joblib",
    "scipy",
    "sklearn",
    "amaranth",
    "jinja2",
    "timm",
    "transformers",
)
#: Engines that would start a cluster: their faults are tested with a real one, in tests/cluster.
SLOW_CHOICES = ("ray", "dask")


def verbs() -> dict[str, click.Command]:
    """Every verb's command."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}  # type: ignore[attr-defined]
    return {name: command for name, command in found.items() if command is not None}


@dataclass
class Judged:
    """What one command line led to.

    Attributes:
        verb: The verb.
        arguments: The command line.
        code: Its exit status.
        seconds: How long it took.
        options: Options that it was given beside those that keep it short.
        failures: What may not be, in words; empty if all is well.
    """

    verb: str
    arguments: list[str]
    code: int
    seconds: float
    options: list[str]
    failures: list[str] = field(default_factory=list)


class VerbCases:
    """Makes command lines from seeds and runs them in this process, in a folder of their own.

    Args:
        folder: Where inputs and outputs go; it is emptied.
        digits: A program's folder from ``p2vit quantize digits``, if there is one.
        stop_after: Seconds after which a case is interrupted.
    """

    def __init__(self, folder: Path, digits: Path | None = None, stop_after: float = STOP_AFTER) -> None:
        self.place, self.stop_after = Place(folder, digits), stop_after
        self.verbs = verbs()
        for module in HEAVY:
            # An import that was stopped cannot be made again in the same process.
            with contextlib.suppress(Exception):
                importlib.import_module(module)

    def case(self, seed: int) -> tuple[str, list[str], list[str]]:
        """Verb, command line and names of the options that are odd or chosen; files are written for it."""
        rng = np.random.default_rng(seed)
        verb = list(self.verbs)[seed % len(self.verbs)]
        command = self.verbs[verb]
        line = list(SHORT.get(verb, []))
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        options = [each for each in command.params if isinstance(each, click.Option)]
        chosen: list[str] = []
        words = self._positions(line, options)
        for number, argument in enumerate(arguments):
            if rng.random() < 0.45 or number >= len(words):
                value = self._value(argument, rng)
                chosen.append(argument.name or "")
                if number < len(words):
                    line[words[number]] = value
                else:
                    line.append(value)
        count = int(rng.choice([0, 1, 1, 1, 2, 2, 3, 4]))
        for at in rng.permutation(len(options))[:count]:
            option = options[int(at)]
            if option.name in ("as_json", "quiet"):
                continue
            chosen.append(option.name or "")
            names = [*option.opts, *option.secondary_opts]
            name = names[int(rng.integers(len(names)))]
            line += [name] if option.is_flag else [name, self._value(option, rng)]
        # Where a value looks like an option, click says so; that is tested too, but not always.
        if rng.random() < 0.75:
            line.append("--json")
        if rng.random() < 0.5:
            line.append("-q")
        return verb, [verb, *line], chosen

    @staticmethod
    def _positions(line: list[str], options: list[click.Option]) -> list[int]:
        """Where arguments stand among options."""
        flags = {
            name for option in options if option.is_flag for name in (*option.opts, *option.secondary_opts)
        }
        found, skip = [], False
        for at, word in enumerate(line):
            if skip:
                skip = False
            elif word.startswith("-"):
                skip = word not in flags
            else:
                found.append(at)
        return found

    def _value(self, parameter: click.Parameter, rng: np.random.Generator) -> str:
        """A word for an option or argument: likely, at a bound of its type, a file of its kind, or anything."""
        name = parameter.name or ""
        pools: list[list[str | Make]] = []
        kind = parameter.type
        if isinstance(kind, click.Choice):
            pools.append([word for word in kind.choices if word not in SLOW_CHOICES] or list(kind.choices))
        if isinstance(kind, click.types._NumberRangeBase):
            edges = [edge for edge in (kind.min, kind.max) if edge is not None]
            pools.append([str(edge + step) for edge in edges for step in (-1, 0, 1)] + ["1", "2", "3"])
        if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            pools.append(list(NUMBERS))
        if name in LIKELY:
            pools += [list(LIKELY[name])] * 3
        if name in READS:
            pools += [[FILES[each] for each in READS[name]]] * 3
        if isinstance(kind, click.Path):
            pools += [list(NAMES)] * 2
            pools.append(["work/new", "work/new.html", "work/new.onnx", "work/new.csv", "work/new.json"])
        elif not pools:
            pools.append(list(NUMBERS))
        pools.append([*NAMES, *NUMBERS])
        if rng.random() < 0.1:
            pools = [list(FILES.values())]
        pool = pools[int(rng.integers(len(pools)))]
        value = pool[int(rng.integers(len(pool)))]
        return value if isinstance(value, str) else value(self.place, rng)

    def run(self, seed: int) -> Judged:
        """Run one case."""
        self.place.renew()
        before = self.place.foreign()
        verb, words, chosen = self.case(seed)
        with _inside(self.place.folder):
            started, busy = time.monotonic(), _busy()
            code, out, err = _captured(words, self.stop_after)
            seconds, busy = time.monotonic() - started, _busy() - busy
        found = Judged(verb, words, code, round(seconds, 3), chosen)
        complain = found.failures.append
        where = f"seed {seed}: p2vit {' '.join(words)[:400]}: "
        if code not in ALLOWED:
            complain(f"{where}exits with {code}: {err.strip()[-400:]}")
        if code == 130 and busy < 0.15 * seconds:
            complain(f"{where}waits for something: {busy:.1f} s of work in {seconds:.1f} s")
        # What Python says of a Ctrl-C in the middle of a finalizer, which it cannot pass on.
        err = re.sub(r"Exception ignored in.*?\nKeyboardInterrupt: ?\n", "", err, flags=re.DOTALL)
        if "Traceback" in out + err:
            complain(f"{where}shows a traceback: {err[-1500:]}")
        if "\x1b" in out + err:
            complain(f"{where}prints codes for a terminal: {(out + err)[-300:]!r}")
        if "--json" in words and "--help" not in words:
            try:
                answer = json.loads(out)
                if code in (2, 130) and set(answer) != {"error"}:
                    complain(f"{where}exits with {code} and prints {sorted(answer)}")
            except (ValueError, TypeError):
                complain(f"{where}({code}) prints no JSON object: {out[-300:]!r} {err[-300:]!r}")
        if code in (2, 130) and not err.strip():
            complain(f"{where}says nothing")
        if self.place.foreign() != before:
            complain(f"{where}touched what is not its own")
        return found


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder."""
    kept = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(kept)


def _busy() -> float:
    """Seconds that this process and its ended children have computed, or wanted to on a machine that was busy."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    queued = 0.0
    with contextlib.suppress(OSError, ValueError, IndexError):
        queued = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    return time.process_time() + children.ru_utime + children.ru_stime + queued


def _captured(words: list[str], stop_after: float) -> tuple[int, str, str]:
    """Exit status, standard output (what libraries and child processes write too) and standard error."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    kept, streams = os.dup(1), (sys.stdout, sys.stderr)
    previous = signal.signal(signal.SIGALRM, stop)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 1)
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding="utf-8", errors="surrogateescape")
        sys.stderr = io.StringIO()
        try:
            signal.setitimer(signal.ITIMER_REAL, stop_after, 10)  # again, where a finalizer has swallowed it
            code = run_command(words)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            err = sys.stderr.getvalue()
            sys.stdout.close()
            sys.stdout, sys.stderr = streams
            os.dup2(kept, 1)
            os.close(kept)
        caught.seek(0)
        return code, caught.read().decode("utf-8", "surrogateescape"), err
