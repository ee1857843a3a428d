"""Match classes by name, in spite of different case, separators, synonyms and WordNet IDs."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from p2vit.data.class_index import WNID, ClassIndex
from p2vit.errors import DataError

_WNID_AND_NAME = re.compile(rf"({WNID.pattern})[\s_,:\-]+(.+)", re.DOTALL)
#: Separators between words. At the start or end of a name they may have a meaning, as in ``-1``.
_BETWEEN = re.compile(r"(?<=\w)[\s_/\-]+(?=\w)")
_UNNAMED = re.compile(r"(?:label|class|output|category)?[\s_\-]*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """The result of `match`.

    Attributes:
        outputs: Output of each wanted class, -1 if not found.
        doubtful: Class whose name fits several outputs → these outputs.
    """

    outputs: tuple[int, ...]
    doubtful: Mapping[str, tuple[int, ...]]

    def __bool__(self) -> bool:
        """Return whether any class was found."""
        return any(output >= 0 for output in self.outputs)


def spellings(name: str, others: Iterable[str] = ()) -> tuple[tuple[str, ...], ...]:
    """List the spellings of a class's name, from the most to the least certain.

    Args:
        name: Full name, e.g. ``n01440764 tench, Tinca tinca``.
        others: Further names of the same class.

    Returns:
        Three groups of strings: the names; the `folded` names; and their folded parts. The parts of a name are its
        WordNet ID and its synonyms, which are separated by commas.
    """
    whole = tuple(dict.fromkeys([name, *others]))
    parts = []
    for text in whole:
        match = _WNID_AND_NAME.fullmatch(text)
        rest = match[2] if match else text
        parts += [*([match[1]] if match else []), rest, *rest.split(",")]
    return (
        whole,
        tuple(dict.fromkeys(map(folded, whole))),
        tuple(dict.fromkeys(folded(part) for part in parts if part.strip())),
    )


def wnid(name: str) -> str | None:
    """Return the WordNet ID at the beginning of a name, or None."""
    match = re.match(rf"{WNID.pattern}(?!\d)", name)
    return match[0] if match else None


def folded(name: str) -> str:
    """Normalise a name: lower case, one form of accents, and single spaces between words."""
    return _BETWEEN.sub(" ", unicodedata.normalize("NFKC", name).strip()).casefold()


def match(
    wanted: Sequence[str], names: Sequence[Sequence[str]], more: Mapping[str, Sequence[str]] | None = None
) -> Found:
    """Find the output of each class by name.

    The most certain spelling that any output has decides. If several outputs have it, none of them is chosen.

    Args:
        wanted: Class names of the photos.
        names: For each output, all names of its class.
        more: Wanted class → further names of it.

    Returns:
        The outputs, and the classes that fit several outputs.
    """
    tables: tuple[dict[str, set[int]], ...] = ({}, {}, {})
    for output, own in enumerate(names):
        for table, group in zip(tables, spellings(own[0], own[1:]) if own else (), strict=False):
            for spelling in group:
                table.setdefault(spelling, set()).add(output)
    outputs, doubtful = [], {}
    for name in wanted:
        others = tuple((more or {}).get(name, ()))
        parts = spellings(name, others)[2]
        # A full name is tried before its parts. Parts are compared with parts only if the wanted name has a WordNet
        # ID, which shows that they are synonyms: "apple, red" is not "apple, green".
        tries = [
            (tables[0], (name,)),
            (tables[1], (folded(name),)),
            (tables[2], (folded(name),)),
            (tables[1], parts),
        ]
        if wnid(name):
            tries.insert(
                3, (tables[0], others[:1])
            )  # ImageNet has both the dog Cardigan and the garment cardigan
            tries.append((tables[2], parts))
        hits = next(
            (hit for table, group in tries if (hit := set().union(*(table.get(s, ()) for s in group)))), set()
        )
        outputs.append(next(iter(hits)) if len(hits) == 1 else -1)
        if len(hits) > 1:
            doubtful[name] = tuple(sorted(hits))
    return Found(tuple(outputs), doubtful)


def says_nothing(names: Sequence[str]) -> bool:
    """Return whether a model's class names are only the numbers of its outputs (``LABEL_0``, ``class 1``, ``2``)."""
    numbers = [_UNNAMED.fullmatch(name) for name in names]
    return all(number is not None and int(number[1]) == place for place, number in enumerate(numbers))


def in_order(names: Sequence[str], outputs: int) -> list[int] | None:
    """Assign outputs to classes in alphabetical order, for a model without class names.

    If the classes are numbers, their alphabetical and numerical order must agree. For ``1, 10, 2`` they do not, and
    the result is None.

    Args:
        names: Class names of the photos, sorted.
        outputs: Number of outputs of the model.

    Returns:
        One output per class, or None if the order is ambiguous.
    """
    if all(name.isascii() and name.isdecimal() for name in names):
        values = [int(name) for name in names]
        if values != sorted(set(values)):
            return None
        if len(names) < outputs and values[0] == 0 and values[-1] < outputs:
            # Only some of the numbers occur. With a 0 among them, they count from 0. If all have the same width, their
            # alphabetical and numerical order agree.
            widths = {len(name) for name in names}
            return values if len(widths) == 1 and max(widths) >= len(str(outputs - 1)) else None
    return list(range(outputs)) if len(names) == outputs else None


def display_names(index: ClassIndex) -> tuple[str, ...]:
    """Return one name per output for people: the label if the file has one, otherwise the WordNet ID."""
    return tuple(
        next((name for name in names if not WNID.fullmatch(name)), names[0] if names else "")
        for names in index.names
    )


def check_count(given: Sequence[str], outputs: int, where: str) -> None:
    """Check that there is one name per output.

    Raises:
        DataError: The numbers differ. The message states both.
    """
    if len(given) != outputs:
        raise DataError(
            f"{where}: names {len(given)} classes, but the model has {outputs} output{'s' * (outputs != 1)}; "
            "give one name per output, in the order of the outputs"
        )
