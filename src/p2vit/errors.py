"""Errors for users. The command line prints their message without a traceback and exits with 2."""

import difflib
from collections.abc import Iterable, Sequence


class P2vitError(Exception):
    """Base class of all errors that a user can cause and fix. The message alone says what is wrong and what to do."""


class P2vitWarning(UserWarning):
    """A problem that does not stop the call, such as few calibration photos or a skipped photo."""


class DataError(P2vitError):
    """Photos or labels are missing, unreadable or unsuitable."""


class ModelError(P2vitError):
    """A model cannot be found, read or converted to the canonical form."""


class ProgramError(P2vitError):
    """An integer program, in memory or on disk, is invalid or damaged."""


class MissingPackageError(P2vitError):
    """An optional package is not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}'. Install it with: pip install 'p2vit[{extra}]'"
        )
        self.package = package
        self.extra = extra


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed name.

    Args:
        name: Name that the user typed.
        allowed: Existing names.

    Returns:
        A sentence that starts with a space; empty if no name is close.
    """
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def shortened(text: str, most: int = 60) -> str:
    """Shorten a text for a message.

    Args:
        text: Text that the user typed.
        most: Largest number of characters. A longer text ends with an ellipsis.
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[str], most: int = 5) -> str:
    """Join names for a message, and count those that are omitted.

    Args:
        names: Names in order.
        most: Largest number of names in the message.

    Returns:
        ``a, b, c`` or ``a, b, c and 7 more``.
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type if the text is empty."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
