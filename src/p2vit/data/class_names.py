"""Classes found by name, as two people write the same name: case, separators, synonyms, WordNet's numbers."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from p2vit.data.class_index import WNID, ClassIndex
from p2vit.errors import DataError

_WNID_AND_NAME = re.compile(rf"({WNID.pattern})[\s_,:\-]+(.+)", re.DOTALL)
#: What stands between words; at the ends of a name it may mean something, as in ``-1``.
_BETWEEN = re.compile(r"(?<=\w)[\s_/\-]+(?=\w)")
_UNNAMED = re.compile(r"(?:label|class|output|category)?[\s_\-]*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """What names said.

    Attributes:
        outputs: Of each class asked for, its output, or -1.
        doubtful: Class → the outputs that all have its name.
    """

    outputs: tuple[int, ...]
    doubtful: Mapping[str, tuple[int, ...]]

    def __bool__(self) -> bool:
        """Whether any class was found."""
        return any(output >= 0 for output in self.outputs)


def spellings(name: str, others: Iterable[str] = ()) -> tuple[tuple[str, ...], ...]:
    """A class's name in the ways in which it may be written, the surest first.

    Args:
        name: As it stands: ``n01440764 tench, Tinca tinca``.
        others: Further names of the same class.

    Returns:
        Three groups of strings: the names themselves; the same without case and separators; their parts, which are
        a WordNet number in front and synonyms between commas, in the same way.
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
    """The WordNet number at the beginning of a name."""
    match = re.match(rf"{WNID.pattern}(?!\d)", name)
    return match[0] if match else None


def folded(name: str) -> str:
    """A name without what differs from writer to writer: case, the form of accents, and what separates words."""
    return _BETWEEN.sub(" ", unicodedata.normalize("NFKC", name).strip()).casefold()


def match(
    wanted: Sequence[str], names: Sequence[Sequence[str]], more: Mapping[str, Sequence[str]] | None = None
) -> Found:
    """Find the output of each class by name.

    The surest spelling that any output has decides; where several outputs have it, none is taken.

    Args:
        wanted: Classes of photos.
        names: Of each output, all its names.
        more: Further names of a wanted class.
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
        # What a class says itself comes before what it says in part. Parts on both sides are compared only where a
        # WordNet number says that they are synonyms: "apple, red" is not "apple, green".
        tries = [
            (tables[0], (name,)),
            (tables[1], (folded(name),)),
            (tables[2], (folded(name),)),
            (tables[1], parts),
        ]
        if wnid(name):
            tries.insert(3, (tables[0], others[:1]))  # ImageNet has a Cardigan, a dog, and a cardigan
            tries.append((tables[2], parts))
        hits = next(
            (hit for table, group in tries if (hit := set().union(*(table.get(s, ()) for s in group)))), set()
        )
        outputs.append(next(iter(hits)) if len(hits) == 1 else -1)
        if len(hits) > 1:
            doubtful[name] = tuple(sorted(hits))
    return Found(tuple(outputs), doubtful)


def says_nothing(names: Sequence[str]) -> bool:
    """Whether a model's names are none: nothing, or the outputs' own numbers (``LABEL_0``, ``class 1``, ``2``)."""
    numbers = [_UNNAMED.fullmatch(name) for name in names]
    return all(number is not None and int(number[1]) == place for place, number in enumerate(numbers))


def in_order(names: Sequence[str], outputs: int) -> list[int] | None:
    """Outputs of classes that no name tells apart: by their place in the alphabet.

    Where the classes are numbers, their place in the alphabet and their value must say the same: of ``1, 10, 2`` they
    do not, and either may be meant.

    Args:
        names: Classes of photos, sorted.
        outputs: Of the model.

    Returns:
        One output per class, or None.
    """
    if all(name.isascii() and name.isdecimal() for name in names):
        values = [int(name) for name in names]
        if values != sorted(set(values)):
            return None
        if len(names) < outputs and values[0] == 0 and values[-1] < outputs:
            # Of some of the numbers only: 0 is there, so they count from 0. All of them sort by value if they are
            # padded to one width.
            widths = {len(name) for name in names}
            return values if len(widths) == 1 and max(widths) >= len(str(outputs - 1)) else None
    return list(range(outputs)) if len(names) == outputs else None


def display_names(index: ClassIndex) -> tuple[str, ...]:
    """One name per output, for people: the label where the file has one beside a WordNet number."""
    return tuple(
        next((name for name in names if not WNID.fullmatch(name)), names[0] if names else "")
        for names in index.names
    )


def check_count(given: Sequence[str], outputs: int, where: str) -> None:
    """Refuse names that are not one per output.

    Raises:
        DataError: says both numbers.
    """
    if len(given) != outputs:
        raise DataError(
            f"{where}: names {len(given)} classes, and the model has {outputs} output{'s' * (outputs != 1)}; "
            "one name per output is needed, in their order"
        )
