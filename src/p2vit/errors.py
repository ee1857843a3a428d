"""Errors that are meant to be read by people: the command line prints them and exits with 2."""

import difflib
from collections.abc import Iterable, Sequence


class P2vitError(Exception):
    """Base of every error that users can cause and mend. Its message is complete: no traceback is needed."""


class P2vitWarning(UserWarning):
    """Something that users should know, and that does not stop a call: few photos, a photo that was skipped."""


class DataError(P2vitError):
    """Photos are missing, unreadable or not what the command needs."""


class ModelError(P2vitError):
    """A model cannot be found, read or brought to the canonical form."""


class ProgramError(P2vitError):
    """An integer program, in memory or on disk, that is not what it should be."""


class MissingPackageError(P2vitError):
    """An optional package is not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}'. Install it with: pip install 'p2vit[{extra}]'"
        )
        self.package = package
        self.extra = extra


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest allowed name, or nothing when none is near.

    Args:
        name: What the user typed.
        allowed: The names that exist.

    Returns:
        A sentence that starts with a space, or an empty string.
    """
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def shortened(text: str, most: int = 60) -> str:
    """A word for a message: what is longer than ``most`` characters is cut off.

    Args:
        text: What the user typed.
        most: Characters to keep.
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[str], most: int = 5) -> str:
    """Join names for a message, and count those that were left off.

    Args:
        names: What to list, in order.
        most: How many to spell out.

    Returns:
        ``a, b, c`` or ``a, b, c and 7 more``.
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def first_line(error: BaseException) -> str:
    """First line of an error's text, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
