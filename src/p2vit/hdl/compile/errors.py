"""Errors of the compiler: a program does not fit the machine, and the message names the change that helps."""

from p2vit.errors import P2vitError


class UnfitProgramError(P2vitError):
    """The machine cannot execute the program. The message names the layer, the limit and the lever."""


def unfit(node: str, what: str, lever: str) -> UnfitProgramError:
    """Make the error for one layer."""
    return UnfitProgramError(f"{node}: {what}; {lever}")


def require(condition: bool, node: str, what: str, lever: str) -> None:
    """Raise unless the condition holds.

    Raises:
        UnfitProgramError: The condition does not hold.
    """
    if not condition:
        raise unfit(node, what, lever)
