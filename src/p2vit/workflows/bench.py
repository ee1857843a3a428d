"""``p2vit bench``: compare the speed with other runtimes, interleaved in one run."""

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
    """Measure the speed of a program on the native engine, and of other runtimes.

    Args:
        program: Folder of the program.
        options: Options; the defaults of `BenchOptions` if None.
        out: Receives notes and warnings.
        **changes: Fields of `BenchOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit bench --json``; see :func:`p2vit.bench.run.run_bench`.

    Raises:
        P2vitError: There is no program, a runtime is unknown or not installed, or the native engine cannot run.
    """
    from p2vit.bench.run import run_bench as take_turns
    from p2vit.engine.native import NativeUnavailableError
    from p2vit.program.format import load

    options, out = changed(BenchOptions, options, changes), out or Feedback()
    sizes = batch_sizes(options.batches)
    names = [name for name in options.against.split(",") if name]
    out.note(
        f"timing p2vit and {len(names)} other runtimes, batch sizes {options.batches}, {options.rounds} rounds each"
    )
    try:
        report = take_turns(
            load(program),
            names,
            sizes,
            options.threads,
            options.rounds,
            options.cache,
            isa=options.isa,
            profile=options.profile,
        )
    except (ValueError, NativeUnavailableError) as error:
        raise P2vitError(str(error)) from None
    except ImportError as error:
        package = (error.name or "it").partition(".")[0]
        raise P2vitError(
            f"--against: a runtime's package is missing: {error}. Omit that runtime, or: pip install {package}"
        ) from None
    for note in report["notes"]:
        out.warn(note)
    return report


def batch_sizes(text: str) -> list[int]:
    """Read batch sizes such as ``1,8``.

    Raises:
        OptionError: A part is not a whole number from 1 to 999999.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(is_number(part) and 0 < int(part) < 10**6 for part in parts):
        raise OptionError(
            f"--batches is {shortened(text)!r}; allowed are numbers from 1 to 999999, separated by commas"
        )
    return [int(part) for part in parts]
