"""What a machine cannot hold, said with the lever that would make it fit."""

from p2vit.errors import P2vitError


class UnfitProgramError(P2vitError):
    """A program that the machine cannot execute; the message names the layer, the limit and the lever."""


def unfit(node: str, what: str, lever: str) -> UnfitProgramError:
    """The error for one layer."""
    return UnfitProgramError(f"{node}: {what}; {lever}")


def require(condition: bool, node: str, what: str, lever: str) -> None:
    """Raise unless the condition holds.

    Raises:
        UnfitProgramError: it does not.
    """
    if not condition:
        raise unfit(node, what, lever)
