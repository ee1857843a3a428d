"""Options of the verbs that generate or simulate RTL."""

from collections.abc import Callable
from typing import Any

import click


def machine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--hw`` and ``--set`` to a verb."""
    function = click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=N",
        help="Change one size of the accelerator, e.g. --set lines=32. Repeatable.",
    )(function)
    return click.option(
        "--hw",
        "hardware",
        default="rtl",
        show_default=True,
        metavar="NAME",
        help="Accelerator: rtl, rtl-wide or rtl-small; for cosim also chunk, chunk-wide or chunk-small.",
    )(function)
