"""The photos on which a program and its float model differ most."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.data.source import PhotoSource
from p2vit.evaluate.records import Records

#: Most photos of the list.
MOST_DIFFERENT = 12


class Difference(BaseModel):
    """One photo on which the program and the float model differ."""

    model_config = ConfigDict(frozen=True)

    photo: str = Field(description="path of the photo, or its number in the benchmark")
    number: int = Field(description="number of the photo in its source")
    true: str | None = Field(description="class of the photo; null without a label")
    predicted: str | None = Field(description="class that the program predicts; null without a head")
    predicted_float: str | None = Field(
        description="class that the float model predicts; null without a head"
    )
    sqnr_db: float | None = Field(description="SQNR of the feature of this photo, dB; null if it is equal")


def most_different(
    records: Records, order: NDArray[np.int64], photos: PhotoSource, outputs: Sequence[str]
) -> list[Difference]:
    """List the photos on which program and float model differ most.

    Photos with different classes come first, then those with the lowest SQNR of the feature.

    Args:
        records: Records of all photos.
        order: Numbers of the photos in the order of the evaluation, int64 [photos].
        photos: The photos, for their names and labels.
        outputs: Names of the outputs; empty without a head.

    Returns:
        At most `MOST_DIFFERENT` photos; empty without a float model.
    """
    if records.signal is None or records.noise is None:
        return []
    has_head = records.ranked_float is not None and records.ranked.shape[1] > 0
    ours = records.ranked[:, 0] if has_head else np.zeros(len(records), np.int64)
    floats = records.ranked_float[:, 0] if has_head and records.ranked_float is not None else ours
    silent = records.noise == 0
    ratio = np.where(silent, np.inf, records.signal / np.where(silent, 1.0, records.noise))
    rows = []
    for place in np.lexsort((records.places, ratio, ours == floats))[:MOST_DIFFERENT].tolist():
        number = int(order[records.places[place]])
        label = int(records.labels[place])
        exact = not np.isfinite(ratio[place]) or ratio[place] <= 0
        rows.append(
            Difference(
                photo=photos.title(number),
                number=number,
                true=photos.classes[label] if 0 <= label < len(photos.classes) else None,
                predicted=outputs[int(ours[place])] if has_head else None,
                predicted_float=outputs[int(floats[place])] if has_head else None,
                sqnr_db=None if exact else round(10 * float(np.log10(ratio[place])), 2),
            )
        )
    return rows
