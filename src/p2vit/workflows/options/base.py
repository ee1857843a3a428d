"""What all options share: values are checked when an object is made, and a wrong one is named with what is allowed."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, model_validator

from p2vit.errors import P2vitError, did_you_mean

#: Whole numbers with a least value, as options have them.
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Threads = Annotated[int, Field(ge=1, le=1024)] | None
#: Of every options class: a name that it does not have is refused. Its validator is built at the first use, because a
#: module holds the options of several verbs.
CHECKED = ConfigDict(extra="forbid", defer_build=True)

Kind = TypeVar("Kind", bound="Options")


class OptionError(P2vitError, TypeError):
    """An option that does not exist, or whose value is not allowed."""


class Options:
    """Base of the options of a workflow. Subclasses are frozen pydantic dataclasses.

    A list is taken for a tuple and a string for a path, as in a call from Python.

    Raises:
        OptionError: a name that is no option, or a value that is not allowed.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_wrong(cls, data: Any, handler: Any) -> Self:
        try:
            checked: Self = handler(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise OptionError(
                _message(cls, first["type"], first["loc"], first["msg"], first["input"])
            ) from None
        return checked


def changed(kind: type[Kind], options: Kind | None, changes: dict[str, Any]) -> Kind:
    """Options with some of them replaced: how workflows read their keyword arguments.

    Args:
        kind: The class.
        options: To start from; the defaults if None.
        changes: Name → value.

    Raises:
        OptionError: a name that is no option, or a value that is not allowed.
    """
    if unknown := [name for name in changes if name not in names(kind)]:
        raise OptionError(_message(kind, "unexpected_keyword_argument", (unknown[0],), "", None))
    return kind(**changes) if options is None else replace(options, **changes)  # type: ignore[type-var]


def names(kind: type) -> tuple[str, ...]:
    """Names of the options of a class."""
    assert is_dataclass(kind)
    return tuple(field.name for field in fields(kind))


def choices(kind: type, name: str) -> tuple[Any, ...]:
    """The allowed values of an option that has a fixed list of them."""
    return get_args(get_type_hints(kind)[name])


def _message(kind: type, fault: str, where: tuple[int | str, ...], told: str, value: Any) -> str:
    """What is wrong with one option, in one line."""
    name, title = str(where[0]) if where else "?", kind.__name__
    if fault == "missing":
        return f"{title}: the option '{name}' is missing"
    if fault in ("unexpected_keyword_argument", "unexpected_positional_argument"):
        allowed = names(kind)
        return f"{title}: there is no option '{name}'.{did_you_mean(name, allowed)} Options: {', '.join(allowed)}"
    return f"{title}: {name} is {value!r}: {told[:1].lower()}{told[1:]}"


__all__ = [
    "CHECKED",
    "Literal",
    "OptionError",
    "Options",
    "Path",
    "Positive",
    "Seed",
    "Threads",
    "changed",
    "choices",
    "names",
]
