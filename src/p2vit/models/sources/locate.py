"""Find the model in a checkpoint: among wrappers, prefixes, other models, and tensors that are no model's."""

import re
from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from p2vit.errors import ModelError, did_you_mean, some
from p2vit.models.sources.file_kind import HOW
from p2vit.models.sources.layouts import LAYOUTS, Layout, Root, find_roots
from p2vit.models.sources.reader import odd_kind, unsupported_pieces
from p2vit.models.sources.weight_file import Content, tensors_in

#: How a shell takes the key of a model without one.
EMPTY = "''"
#: A part of a name that says: these are averages of the weights over training.
AVERAGED = re.compile(r"(^|_)ema($|_)|(^|_)swa($|_)|(^|_)averaged($|_)")
#: Parts of a checkpoint that nobody expects to be read.
STATE_OF_TRAINING = re.compile(r"optim|(lr_)?sched|scaler|callbacks|loops|rng|epoch|meter|metric")


@dataclass(frozen=True)
class Located:
    """A model in a file.

    Attributes:
        state: Its names, without what stands before them -> tensors.
        layout: Whose names they are.
        notes: What was chosen and what was left out, for people.
    """

    state: dict[str, Tensor]
    layout: Layout
    notes: tuple[str, ...]


def locate(content: Content, key: str | None, source: str) -> Located:
    """Find the model in what a file holds.

    Args:
        content: Of the file.
        key: What stands before the model's names, as ``--key``; None to find it.
        source: Named in errors.

    Returns:
        The model.

    Raises:
        ModelError: there is none of a known layout, or there are several and nothing tells which one is meant.
    """
    tensors = tensors_in(content.value)
    if not tensors:
        raise ModelError(f"{source}: {_no_tensors(content)}")
    roots = find_roots(tensors)
    if key is not None:
        roots = _below(key, tensors, roots, source)
    if not roots:
        raise ModelError(f"{source}: {_unknown(tensors, content)}")
    root, notes = _choose(_without_aliases(roots, tensors), source)
    state = {name[len(root.prefix) :]: value for name, value in tensors.items() if root.holds(name)}
    notes += _left_out([name for name in tensors if not root.holds(name)], root, roots)
    if content.unread:
        notes.append(f"{source}: left unread beside the weights: objects of {some(content.unread, 3)}")
    return Located(state, root.layout, tuple(notes))


def _below(key: str, tensors: dict[str, Tensor], roots: list[Root], source: str) -> list[Root]:
    """The models under a key; under none, if it is empty."""
    below = f"{key}." if key else ""
    if not key:
        roots = [root for root in roots if not root.prefix]
    if not any(name.startswith(below) for name in tensors):
        keys = [root.key for root in roots if root.key]
        known = f" Models are under: {', '.join(keys)}" if keys else " Its weights are not under any key"
        raise ModelError(f"{source}: nothing under --key '{key}'.{did_you_mean(key, keys)}{known}")
    found = [root for root in roots if root.prefix.startswith(below)]
    if not found:
        names = [name for name in tensors if name.startswith(below)]
        raise ModelError(
            f"{source}: no ViT in a known layout under --key '{key}', which has {some(sorted(names), 3)}. "
            f"Known are {', '.join(layout.title for layout in LAYOUTS)}"
        )
    return found


def _without_aliases(roots: list[Root], tensors: dict[str, Tensor]) -> list[Root]:
    """Leave out a model whose tensors are another's, saved twice."""
    kept: dict[tuple[int, str], Root] = {}
    for root in roots:
        value = tensors[root.prefix + root.inner + root.layout.anchor]
        shared = odd_kind(value) is None
        kept.setdefault((value.data_ptr() if shared else id(value), root.layout.kind), root)
    return list(kept.values())


def _choose(roots: list[Root], source: str) -> tuple[Root, list[str]]:
    """The model that is meant: the only one, or the average of the only other one."""
    if len(roots) == 1:
        return roots[0], []
    averaged = [root for root in roots if any(AVERAGED.search(word) for word in root.key.split("."))]
    if len(averaged) == 1 and len(roots) == 2:
        (other,) = (root for root in roots if root is not averaged[0])
        choice = f"--key {other.key or EMPTY}"
        return averaged[0], [
            f"{source}: holds the weights and their average over training; took the average, '{averaged[0].key}' "
            f"({choice} gives the other)"
        ]
    keys = list(dict.fromkeys(root.key or EMPTY for root in roots))
    if len(keys) == 1:
        raise ModelError(
            f"{source}: its tensors are named as in several layouts at once: "
            f"{', '.join(root.layout.title for root in roots)}; take one model's state dict alone"
        )
    raise ModelError(
        f"{source}: holds {len(keys)} models, under {some(keys, 8)}; say which one is meant with --key, "
        f"e.g. --key {next(key for key in keys if key != EMPTY)}"
    )


def _left_out(names: list[str], root: Root, roots: list[Root]) -> list[str]:
    """Name what was left out, group by group."""
    words = root.prefix.split(".")[:-1]
    counted: Counter[str] = Counter()
    for name in names:
        if any(other.holds(name) for other in roots if other.prefix != root.prefix):
            continue
        parts = name.split(".")
        same = 0
        while same < min(len(words), len(parts) - 1) and parts[same] == words[same]:
            same += 1
        if not STATE_OF_TRAINING.search(parts[same]) and not STATE_OF_TRAINING.search(parts[0]):
            counted[parts[same]] += 1
    if not counted:
        return []
    listed = [f"{word} ({count} tensor{'s' if count > 1 else ''})" for word, count in counted.items()]
    where = f"beside '{root.key}'" if root.key else "beside the encoder"
    return [
        f"left out, as not part of the model ({where}): {some(listed, 6)}. If one of them is its head, name it as "
        f"{root.layout.title} does and save again"
    ]


def _no_tensors(content: Content) -> str:
    """Why a file holds no tensors."""
    if content.unread:
        return (
            f"no tensors in it but objects of {some(content.unread, 3)}, which need code to load, so they are "
            f"refused; {HOW}"
        )
    return f"no tensors in it but {type(content.value).__name__}; a state dict is needed; {HOW}"


def _unknown(tensors: dict[str, Tensor], content: Content) -> str:
    """Say what a file holds when it is no model of a known layout."""
    pieces = unsupported_pieces(tensors)
    known = f"; it has {' and '.join(pieces)}" if pieces else ""
    objects = f". Objects of {some(content.unread, 3)} were not read" if content.unread else ""
    return (
        f"not a ViT in a known layout ({', '.join(layout.title for layout in LAYOUTS)}){known}. "
        f"Its first tensors: {some(sorted(tensors), 3)}{objects}"
    )
