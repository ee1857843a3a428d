"""Which output of a model a photo's label means: folders and models order their classes each in their own way."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p2vit.data.class_index import IMAGENET_CLASSES, WNID, ClassIndex, imagenet_index
from p2vit.errors import DataError, did_you_mean, some


def label_map(
    photo_classes: Sequence[str],
    model_classes: Sequence[str],
    outputs: int,
    *,
    numbered: bool = False,
    listed: bool = False,
    index: ClassIndex | None = None,
) -> tuple[NDArray[np.int64] | None, str]:
    """Find the model's output for each class of the photos.

    By the class index where one is given; by name where the model has all the names; wnids of a model with 1,000
    outputs in ImageNet's order; by position where the numbers agree; otherwise not at all, because a guess would
    give a wrong accuracy without anybody noticing.

    Args:
        photo_classes: Of the photos, in label order; empty for photos without labels.
        model_classes: Of the model, in the order of its outputs; empty where it names none.
        outputs: How many outputs the model has.
        numbered: The photos' classes come from a label file and are numbers.
        listed: They come from a list without file names, as ImageNet's own ground truth does.
        index: Names of the outputs, from a class-index file.

    Returns:
        (int64 [photo classes] of outputs or None, a note for people or an empty string).

    Raises:
        DataError: the class index or the numbers do not fit the model.
    """
    if not photo_classes:
        return None, "the photos have no labels (no subfolder per class), so there is no accuracy"
    if numbered:
        return _by_number([int(name) for name in photo_classes], outputs, listed, index), ""
    if index is not None:
        return _by_index(photo_classes, outputs, index), ""
    if set(photo_classes) <= set(model_classes):
        return np.array([list(model_classes).index(name) for name in photo_classes], dtype=np.int64), ""
    if outputs == IMAGENET_CLASSES and all(WNID.fullmatch(name) for name in photo_classes):
        known = found.outputs() if (found := imagenet_index()) else {}
        if set(photo_classes) <= set(known):
            return np.array([known[name] for name in photo_classes], dtype=np.int64), ""
    if len(photo_classes) != outputs:
        return None, (
            f"the photos have {len(photo_classes)} classes and the model {outputs} outputs, and their names do not "
            "tell which is which, so there is no accuracy. Name the subfolders as the model's classes, or say with "
            "--class-index which output is which class"
        )
    positions = np.arange(outputs, dtype=np.int64)
    if not model_classes:
        return positions, ""
    return positions, (
        f"the photos' classes ({', '.join(list(photo_classes)[:3])}, ...) are not named as the model's "
        f"({', '.join(list(model_classes)[:3])}, ...); they are matched by position"
    )


def _by_number(numbers: list[int], outputs: int, listed: bool, index: ClassIndex | None) -> NDArray[np.int64]:
    """Outputs of classes that are numbers: outputs themselves, or ImageNet's own numbers."""
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


def _by_index(photo_classes: Sequence[str], outputs: int, index: ClassIndex) -> NDArray[np.int64]:
    """Outputs by a class index's names."""
    if len(index.names) != outputs:
        raise DataError(f"{index.path}: has {len(index.names)} classes and the model {outputs} outputs")
    known = index.outputs()
    if strange := [name for name in photo_classes if name not in known]:
        raise DataError(
            f"{index.path}: does not have the photos' classes {some(strange)}.{did_you_mean(strange[0], known)} "
            f"Its classes are {some(list(known), most=3)}"
        )
    return np.array([known[name] for name in photo_classes], dtype=np.int64)
