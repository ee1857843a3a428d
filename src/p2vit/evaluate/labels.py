"""Match the classes of photos to the outputs of a model. Folders and models order their classes differently."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p2vit.data.class_index import IMAGENET_CLASSES, ClassIndex, imagenet_index
from p2vit.data.class_names import Found, folded, in_order, match, says_nothing, spellings, wnid
from p2vit.errors import DataError, did_you_mean, some

Outputs = NDArray[np.int64]


def label_map(
    photo_classes: Sequence[str],
    model_classes: Sequence[str],
    outputs: int,
    *,
    numbered: bool = False,
    listed: bool = False,
    index: ClassIndex | None = None,
) -> tuple[Outputs | None, str]:
    """Find the model's output for each class of the photos.

    Classes are matched by name if any name matches. Names are searched in the class index if it is given, else in the
    model's classes, else in ImageNet's classes if the model has 1,000 outputs. A class that is not found has no output.
    Classes are matched by position only if no name matches, the numbers of classes are equal, and the position is
    unambiguous. Otherwise nothing is matched, because a guess could give a wrong accuracy that nobody notices.

    Args:
        photo_classes: Classes of the photos, in the order of the labels; empty for photos without labels.
        model_classes: Classes of the model, in the order of its outputs; empty if it names none.
        outputs: Number of outputs of the model.
        numbered: The classes of the photos come from a label file and are numbers.
        listed: They come from a list without file names, such as ImageNet's ground truth.
        index: Names of the outputs, from a class-index file.

    Returns:
        (output of each class, int64 [classes], -1 for a class without one, or None; a note, or an empty text).

    Raises:
        DataError: The class index or the numbers do not match the model.
    """
    if not photo_classes:
        return None, "the photos have no labels (no subfolder per class), so there is no accuracy"
    if outputs == 1:
        return None, "the model has one output, which is a number and no class, so there is no accuracy"
    if numbered:
        return _by_number([int(name) for name in photo_classes], outputs, listed, index), ""
    if index is not None:
        return _by_index(photo_classes, outputs, index)
    own = [(name,) for name in model_classes]
    imagenet = imagenet_index() if any(map(wnid, photo_classes)) else None
    if found := match(photo_classes, own, _synonyms(photo_classes, imagenet)):
        if imagenet is not None and len(imagenet.names) == outputs:
            found = _settled(photo_classes, own, found, imagenet)
        return _result(photo_classes, found, model_classes)
    numbers = [names[:1] for names in imagenet.names] if imagenet and outputs == IMAGENET_CLASSES else []
    if found := match(photo_classes, numbers):
        return _result(photo_classes, found, [names[0] for names in numbers])
    return _by_position(photo_classes, model_classes, outputs)


def _by_position(
    photo_classes: Sequence[str], model_classes: Sequence[str], outputs: int
) -> tuple[Outputs | None, str]:
    """Return the outputs of classes that cannot be matched by name."""
    advice = (
        "Name the subfolders as the model's classes, or say with --class-index which output is which class"
    )
    named = some(list(photo_classes), most=3)
    if (places := in_order(photo_classes, outputs)) is not None:
        theirs = (
            "the model does not name its classes"
            if says_nothing(model_classes)
            else f"they are not named as the model's ({some(list(model_classes), most=3)})"
        )
        return np.array(places, dtype=np.int64), (
            f"the photos' classes ({named}) are matched by position, a folder's in the order of the alphabet, because "
            f"{theirs}. "
            f"If that is not the model's order: {advice[0].lower()}{advice[1:]}"
        )
    if len(photo_classes) == outputs:
        return None, (
            f"the photos' classes ({named}) are numbers, whose order by value is not that of the alphabet, and the "
            f"model's names do not tell which is meant, so there is no accuracy. {advice}"
        )
    return None, (
        f"the photos have {len(photo_classes)} classes and the model {outputs} outputs, and their names do not "
        f"tell which is which, so there is no accuracy. {advice}"
    )


def _synonyms(photo_classes: Sequence[str], imagenet: ClassIndex | None) -> dict[str, tuple[str, ...]]:
    """Return ImageNet's labels of the classes that are named by WordNet ids.

    A synonym that is also the name of another class is left out: a ruffed grouse is also called partridge, and
    partridge is another class.
    """
    if imagenet is None:
        return {}
    labels = {
        names[0]: [part.strip() for part in names[1].split(",")] for names in imagenet.names if names[1:]
    }
    uses = Counter(folded(label) for own in labels.values() for label in own)
    known = {
        number: (own[0], *(label for label in own[1:] if uses[folded(label)] == 1))
        for number, own in labels.items()
    }
    return {name: known[number] for name in photo_classes if (number := wnid(name)) in known}


def _settled(
    photo_classes: Sequence[str], own: list[tuple[str]], found: Found, imagenet: ClassIndex
) -> Found:
    """Match classes whose name two ImageNet classes share (crane, maillot) by the position of their WordNet id."""
    place = {names[0]: output for output, names in enumerate(imagenet.names)}
    outputs, doubtful = list(found.outputs), dict(found.doubtful)
    for at, name in enumerate(photo_classes):
        output = place.get(wnid(name) or "")
        if outputs[at] >= 0 or output is None:
            continue
        theirs = set(spellings(own[output][0])[2])
        if theirs & {part for known in imagenet.names[output] for part in spellings(known)[2]}:
            outputs[at] = output
            doubtful.pop(name, None)
    return Found(tuple(outputs), doubtful)


def _result(photo_classes: Sequence[str], found: Found, model_classes: Sequence[str]) -> tuple[Outputs, str]:
    """Return the outputs that were found by name, and a note about the classes that were not found."""
    missing = [name for name, output in zip(photo_classes, found.outputs, strict=True) if output < 0]
    notes = []
    if missing:
        unknown = [name for name in missing if name not in found.doubtful]
        shared = [
            f"'{name}' is the name of outputs {', '.join(map(str, outputs))}"
            for name, outputs in found.doubtful.items()
        ]
        guess = did_you_mean(unknown[0], model_classes) if unknown else ""
        notes.append(
            f"{len(missing)} of the photos' {len(photo_classes)} classes have no output of their name, and their "
            f"photos are not counted: {some([*unknown, *shared], most=8)}.{guess}"
        )
    by_output: dict[int, list[str]] = {}
    for name, output in zip(photo_classes, found.outputs, strict=True):
        by_output.setdefault(output, []).append(name)
    together = [
        f"{' and '.join(names)}" for output, names in by_output.items() if output >= 0 and len(names) > 1
    ]
    if together:
        notes.append(f"classes of the photos that have the same output: {some(together)}")
    return np.array(found.outputs, dtype=np.int64), "; ".join(notes)


def _by_number(numbers: list[int], outputs: int, listed: bool, index: ClassIndex | None) -> Outputs:
    """Return the outputs of classes that are numbers: indices of outputs, or ILSVRC2012_IDs."""
    if listed and min(numbers) >= 1:
        if index is None or index.by_ilsvrc is None:
            raise DataError(
                f"the label list has the numbers {min(numbers)} to {max(numbers)} and no 0, as ImageNet's ground "
                "truth does: ILSVRC2012_IDs, whose order is not that of any model's outputs. Give the devkit's "
                "meta.mat with --class-index, or rows 'file,output' counted from 0"
            )
        if strange := [str(number) for number in numbers if number not in index.by_ilsvrc]:
            raise DataError(f"{index.path}: has no ILSVRC2012_ID {some(strange)}")
        return np.array([index.by_ilsvrc[number] for number in numbers], dtype=np.int64)
    if max(numbers) >= outputs:
        raise DataError(
            f"the label file has the number {max(numbers)}, and the model's outputs are 0 to {outputs - 1}"
        )
    return np.array(numbers, dtype=np.int64)


def _by_index(photo_classes: Sequence[str], outputs: int, index: ClassIndex) -> tuple[Outputs, str]:
    """Return the outputs of classes by the names of a class index."""
    if len(index.names) != outputs:
        raise DataError(f"{index.path}: has {len(index.names)} classes and the model {outputs} outputs")
    known = list(index.outputs())
    if not (found := match(photo_classes, index.names)):
        raise DataError(
            f"{index.path}: does not have the photos' classes {some(list(photo_classes))}."
            f"{did_you_mean(photo_classes[0], known)} Its classes are {some(known, most=3)}"
        )
    return _result(photo_classes, found, known)
