"""Errors of the simulator's input. One message lists all problems, the allowed values and the next step."""

from collections.abc import Iterable

from p2vit.errors import P2vitError, did_you_mean


class AccelError(P2vitError, ValueError):
    """Input that the simulator cannot use.

    Attributes:
        problems: One complete sentence per problem, in the order of the file.
    """

    def __init__(self, where: str, problems: Iterable[str], next_step: str = "") -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = [f"{where}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"]
        lines += [f"  - {problem}" for problem in self.problems]
        if next_step:
            lines.append(f"  {next_step}")
        super().__init__("\n".join(lines))


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """Suggest the nearest allowed word and list the allowed words.

    Args:
        word: Word that the user typed.
        allowed: All allowed words.

    Returns:
        Clause to append to an error message.
    """
    names = sorted(allowed)
    near = did_you_mean(word, names).strip()
    listing = "allowed: " + ", ".join(names)
    return f"{near[0].lower()}{near[1:]} ({listing})" if near else listing
