"""Tensors of a program that become outputs of an ONNX model, also by what they are: ``features`` and ``tokens``."""

from collections.abc import Iterable

from p2vit.errors import P2vitError
from p2vit.numerics import SelectToken, SumTokens
from p2vit.program.graph import IntegerProgram

#: Names that stand for a tensor whose own name depends on the model.
FEATURES, TOKENS = "features", "tokens"


def exposed(program: IntegerProgram, names: Iterable[str]) -> list[str]:
    """Return tensor names, each once, in the order of the program.

    Args:
        program: The program.
        names: Names of tensors; ``features`` is the tensor that the head reads, and ``tokens`` the tensor of which the
            class token or the mean of the patches is taken. A tensor of such a name comes first.

    Raises:
        P2vitError: There is no such tensor, or the model takes no token and no mean.
    """
    found = []
    for name in names:
        if name not in program.tensors and name == FEATURES:
            found.append(program.feature)
        elif name not in program.tensors and name == TOKENS:
            found.append(all_tokens(program))
        else:
            found.append(name)
    return list(program.among(found, "expose"))


def all_tokens(program: IntegerProgram) -> str:
    """Return the name of the last tensor of which a token or a mean of tokens is taken.

    Raises:
        P2vitError: There is none.
    """
    pools = [node for node in program.nodes if isinstance(node.operator, SelectToken | SumTokens)]
    if not pools:
        raise P2vitError(
            f"expose names {TOKENS!r}, but this program takes no class token and no mean of its tokens. Its tensors: "
            f"{', '.join(list(program.tensors)[-4:])} and others, see p2vit inspect"
        )
    return pools[-1].inputs[0]
