"""Find the model in a checkpoint, below wrappers and prefixes, and beside other models and unrelated tensors."""

import re
from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from p2vit.errors import ModelError, did_you_mean, some
from p2vit.models.sources.file_kind import HOW_TO_SAVE
from p2vit.models.sources.layouts import LAYOUTS, Layout, Root, find_roots
from p2vit.models.sources.reader import odd_kind, unsupported_pieces
from p2vit.models.sources.weight_file import Content, tensors_in

#: Value of ``--key`` on the command line that selects a model without a prefix.
EMPTY = "''"
#: Part of a name that marks weights as their average over training.
AVERAGED = re.compile(r"(^|_)ema($|_)|(^|_)swa($|_)|(^|_)averaged($|_)")
#: Parts of a checkpoint that are only state of the training. Leaving them out needs no note.
STATE_OF_TRAINING = re.compile(r"optim|(lr_)?sched|scaler|callbacks|loops|rng|epoch|meter|metric")


@dataclass(frozen=True)
class Located:
    """A model that was found in a file.

    Attributes:
        state: Names without their prefix -> tensors.
        layout: Layout of the names.
        notes: Texts that say which model was chosen and what was left out.
    """

    state: dict[str, Tensor]
    layout: Layout
    notes: tuple[str, ...]


def locate(content: Content, key: str | None, source: str) -> Located:
    """Find the model in the content of a file.

    Args:
        content: Content of the file.
        key: Prefix of the model's names (``--key``); None to search for it.
        source: Name of the source for error messages.

    Returns:
        The model.

    Raises:
        ModelError: The file contains no model of a known layout, or several without a reason to prefer one.
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
        notes.append(f"{source}: ignored objects of {some(content.unread, 3)} beside the weights")
    return Located(state, root.layout, tuple(notes))


def _below(key: str, tensors: dict[str, Tensor], roots: list[Root], source: str) -> list[Root]:
    """Return the models below a key. An empty key selects the model without a prefix."""
    below = f"{key}." if key else ""
    if not key:
        roots = [root for root in roots if not root.prefix]
    if not any(name.startswith(below) for name in tensors):
        keys = [root.key for root in roots if root.key]
        known = f" Known keys: {', '.join(keys)}" if keys else " Its weights have no key; omit --key"
        raise ModelError(f"{source}: no tensors below --key '{key}'.{did_you_mean(key, keys)}{known}")
    found = [root for root in roots if root.prefix.startswith(below)]
    if not found:
        names = [name for name in tensors if name.startswith(below)]
        raise ModelError(
            f"{source}: no ViT in a known layout below --key '{key}', which has the tensors {some(sorted(names), 3)}. "
            f"Known layouts: {', '.join(layout.title for layout in LAYOUTS)}"
        )
    return found


def _without_aliases(roots: list[Root], tensors: dict[str, Tensor]) -> list[Root]:
    """Leave out models that share their tensors with another one, because a file may save a model twice."""
    kept: dict[tuple[int, str], Root] = {}
    for root in roots:
        value = tensors[root.prefix + root.inner + root.layout.anchor]
        shared = odd_kind(value) is None
        kept.setdefault((value.data_ptr() if shared else id(value), root.layout.kind), root)
    return list(kept.values())


def _choose(roots: list[Root], source: str) -> tuple[Root, list[str]]:
    """Choose the only model, or of two models the one that is the average of the other over training."""
    if len(roots) == 1:
        return roots[0], []
    averaged = [root for root in roots if any(AVERAGED.search(word) for word in root.key.split("."))]
    if len(averaged) == 1 and len(roots) == 2:
        (other,) = (root for root in roots if root is not averaged[0])
        choice = f"--key {other.key or EMPTY}"
        return averaged[0], [
            f"{source}: contains the weights and their average over training; took the average, '{averaged[0].key}' "
            f"({choice} selects the other)"
        ]
    keys = list(dict.fromkeys(root.key or EMPTY for root in roots))
    if len(keys) == 1:
        raise ModelError(
            f"{source}: its tensor names mix several layouts: "
            f"{', '.join(root.layout.title for root in roots)}; save the state dict of one model alone"
        )
    raise ModelError(
        f"{source}: contains {len(keys)} models, below {some(keys, 8)}; choose one with --key, "
        f"e.g. --key {next(key for key in keys if key != EMPTY)}"
    )


def _left_out(names: list[str], root: Root, roots: list[Root]) -> list[str]:
    """Make the note on tensors that were left out, group by group."""
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
        f"left out, because not part of the model ({where}): {some(listed, 6)}. If one of them is the model's head, "
        f"rename it as {root.layout.title} does and save again"
    ]


def _no_tensors(content: Content) -> str:
    """Say why a file contains no tensors."""
    if content.unread:
        return (
            f"contains no tensors, but objects of {some(content.unread, 3)}. Loading them would run code, so they are "
            f"refused; {HOW_TO_SAVE}"
        )
    return f"contains no tensors, but a {type(content.value).__name__}; a state dict is needed; {HOW_TO_SAVE}"


def _unknown(tensors: dict[str, Tensor], content: Content) -> str:
    """Say what a file contains that has no model of a known layout."""
    pieces = unsupported_pieces(tensors)
    known = f"; it has {' and '.join(pieces)}" if pieces else ""
    objects = f". Objects of {some(content.unread, 3)} were not read" if content.unread else ""
    return (
        f"not a ViT in a known layout ({', '.join(layout.title for layout in LAYOUTS)}){known}. "
        f"Its first tensors: {some(sorted(tensors), 3)}{objects}"
    )
