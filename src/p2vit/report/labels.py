"""Which output of a model a photo's label means: folders and models order their classes each in their own way."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def label_map(
    photo_classes: Sequence[str], model_classes: Sequence[str], outputs: int
) -> tuple[NDArray[np.int64] | None, str]:
    """Find the model's output for each class of the photos.

    By name where the model has all the names; by position where the numbers agree; otherwise not at all, because
    a guess would give a wrong accuracy without anybody noticing.

    Args:
        photo_classes: Of the photos, in label order; empty for photos without labels.
        model_classes: Of the model, in the order of its outputs; empty where it names none.
        outputs: How many outputs the model has.

    Returns:
        (int64 [photo classes] of outputs or None, a note for people or an empty string).
    """
    if not photo_classes:
        return None, "the photos have no labels (no subfolder per class), so there is no accuracy"
    if set(photo_classes) <= set(model_classes):
        return np.array([list(model_classes).index(name) for name in photo_classes], dtype=np.int64), ""
    if len(photo_classes) != outputs:
        return None, (
            f"the photos have {len(photo_classes)} classes and the model {outputs} outputs, and their names do not "
            "tell which is which, so there is no accuracy. Name the subfolders as the model's classes"
        )
    positions = np.arange(outputs, dtype=np.int64)
    if not model_classes:
        return positions, ""
    return positions, (
        f"the photos' classes ({', '.join(list(photo_classes)[:3])}, ...) are not named as the model's "
        f"({', '.join(list(model_classes)[:3])}, ...); they are matched by position"
    )
