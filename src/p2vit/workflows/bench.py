"""``p2vit bench``: speed side by side with other runtimes, interleaved in one run."""

from pathlib import Path
from typing import Any

from p2vit.errors import P2vitError, shortened
from p2vit.text import is_number
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.options.base import OptionError, changed
from p2vit.workflows.options.export import BenchOptions


def run_bench(
    program: Path, options: BenchOptions | None = None, *, out: Feedback | None = None, **changes: Any
) -> dict[str, Any]:
    """Time the program of a folder on the native engine beside other runtimes.

    Args:
        program: The program's folder.
        options: What may be chosen; the defaults of `BenchOptions` if None.
        out: Where notes and warnings go.
        **changes: Fields of `BenchOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit bench --json``; see :func:`p2vit.bench.run.run_bench`.

    Raises:
        P2vitError: no program, an unknown peer, a peer whose package is missing, or no native engine.
    """
    from p2vit.bench.run import run_bench as take_turns
    from p2vit.engine.native import NativeUnavailableError
    from p2vit.program.format import load

    options, out = changed(BenchOptions, options, changes), out or Feedback()
    sizes = batch_sizes(options.batches)
    names = [name for name in options.against.split(",") if name]
    out.note(
        f"timing p2vit and {len(names)} peers, batches of {options.batches}, {options.rounds} rounds each"
    )
    try:
        report = take_turns(
            load(program),
            names,
            sizes,
            options.threads,
            options.rounds,
            options.cache,
            profile=options.profile,
        )
    except (ValueError, NativeUnavailableError) as error:
        raise P2vitError(str(error)) from None
    except ImportError as error:
        package = (error.name or "it").partition(".")[0]
        raise P2vitError(
            f"a peer's package is missing: {error}. Leave that peer out of --against, or: pip install {package}"
        ) from None
    for note in report["notes"]:
        out.warn(note)
    return report


def batch_sizes(text: str) -> list[int]:
    """Images per call from ``1,8``.

    Raises:
        OptionError: anything but whole numbers from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(is_number(part) and 0 < int(part) < 10**6 for part in parts):
        raise OptionError(
            f"--batches is {shortened(text)!r}; allowed are numbers from 1 to 999999, separated by commas"
        )
    return [int(part) for part in parts]
