"""Options that the verbs about RTL share."""

from collections.abc import Callable
from typing import Any

import click


def machine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--hw`` and ``--set``."""
    function = click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=N",
        help="Change a size of the machine, e.g. --set lines=32; repeat for more.",
    )(function)
    return click.option(
        "--hw",
        "hardware",
        default="rtl",
        show_default=True,
        metavar="NAME",
        help="rtl, rtl-wide or rtl-small.",
    )(function)
