"""Quality of a program's features, for backbones without a classifier: cosine similarity and k-NN accuracy."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.data.benchmarks import open_photos
from p2vit.data.folder import ImageFolder
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError
from p2vit.evaluate.accuracy import decibels, percent
from p2vit.evaluate.neighbours import Gallery, K
from p2vit.evaluate.records import Records
from p2vit.program.graph import IntegerProgram
from p2vit.program.preprocessing import Preprocessing


class MapAccuracy(BaseModel):
    """A feature map of the program beside the float model's; null stands for what could not be measured."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the map")
    grid: list[int] = Field(description="patches: rows, columns")
    sqnr_db: float | None = Field(description="SQNR over all photos, patches and channels, dB")
    cosine_mean: float | None = Field(
        description="mean over patches of the similarity with the float model's"
    )
    cosine_min: float | None = Field(description="the least similar patch's")


class FeatureAccuracy(BaseModel):
    """Comparison of the program's features with the float model's; None if it could not be measured."""

    model_config = ConfigDict(frozen=True)

    cosine_mean: float | None = Field(description="mean cosine similarity with the float model's features")
    cosine_min: float | None = Field(description="cosine similarity of the least similar photo")
    knn_top1: float | None = Field(description="k-NN accuracy of the program's features, percent")
    knn_top1_float: float | None = Field(description="k-NN accuracy of the float model's features, percent")
    knn_agreement: float | None = Field(description="percent where both k-NN votes are the same")
    k: int | None = Field(description="number of neighbours")
    temperature: float | None = Field(description="temperature T of the votes' weights, exp(similarity / T)")
    gallery: str | None = Field(description="name of the labelled photos")
    gallery_images: int | None = Field(description="number of labelled photos")
    maps: list[MapAccuracy] = Field(default=[], description="feature maps of the program")


def open_gallery(spec: str, data: str, preprocessing: Preprocessing) -> tuple[PhotoSource, NDArray[np.int64]]:
    """Open the labelled photos for k-NN. None of them may be a measured photo.

    Args:
        spec: A folder with one subfolder per class, or a benchmark, of which the training half is used.
        data: Name of the measured photos.
        preprocessing: How the model's photos are prepared.

    Returns:
        (the photos, indices of those to use).

    Raises:
        DataError: The photos have no labels, or could include measured photos.
    """
    photos = open_photos(spec, preprocessing)
    train = getattr(photos, "train", None)
    if train is not None:
        return photos, train
    if not photos.classes:
        raise DataError(f"{spec}: has no labels, which a gallery needs; make one subfolder per class")
    if isinstance(photos, ImageFolder) and Path(data).exists():
        check_disjoint(Path(spec), Path(data), "the gallery")
    return photos, photos.order()


def check_disjoint(own: Path, measured: Path, what: str) -> None:
    """Check that a folder does not overlap with the folder that is measured.

    Args:
        own: The folder.
        measured: The folder that is measured.
        what: Role of the first folder, for the error message.

    Raises:
        DataError: The folders are the same, or one contains the other.
    """
    inner, outer = own.resolve(), measured.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise DataError(
            f"{own}: {what} and the measured photos ({measured}) must be different folders, none inside the other, "
            "because no measured photo may be used before"
        )


def judge_maps(records: Records, program: IntegerProgram) -> list[MapAccuracy]:
    """Sum up the feature maps that are patch tokens of a block.

    Args:
        records: Of all photos.
        program: Whose maps were measured.
    """
    rows = []
    for index, each in enumerate(each for each in program.maps if each.layer is not None):
        numbers: dict[str, float | None] = dict.fromkeys(("sqnr_db", "cosine_mean", "cosine_min"))
        columns = (records.map_signal, records.map_noise, records.map_cosine, records.map_cosine_min)
        if all(column is not None for column in columns) and len(records):
            signal, noise, mean, least = (column[:, index] for column in columns if column is not None)
            numbers["sqnr_db"] = decibels(signal, noise)
            numbers["cosine_mean"] = round(math.fsum(mean) / len(mean), 6)
            numbers["cosine_min"] = round(float(least.min()), 6)
        rows.append(MapAccuracy(name=each.name, grid=list(each.grid), **numbers))
    return rows


def judge(
    records: Records,
    galleries: Sequence[Gallery | None],
    gallery: PhotoSource | None,
    photo_classes: Sequence[str],
) -> tuple[FeatureAccuracy, list[str]]:
    """Compute the figures of the features from the records of all photos.

    Args:
        records: Records of all photos.
        galleries: Galleries of the program's and of the float model's features; None without one.
        gallery: Photos of the gallery, for their classes.
        photo_classes: Classes of the measured photos, in the order of the labels.

    Returns:
        (the figures, notes).

    Raises:
        DataError: Gallery and photos have no class in common.
    """
    numbers: dict[str, Any] = dict.fromkeys(name for name in FeatureAccuracy.model_fields if name != "maps")
    notes = []
    if records.cosine is not None and len(records):
        numbers["cosine_mean"] = round(float(records.cosine.mean()), 6)
        numbers["cosine_min"] = round(float(records.cosine.min()), 6)
    own = galleries[0]
    if own is None or gallery is None or records.voted is None:
        notes.append("no gallery of labelled photos (--gallery DIR), so there is no k-NN accuracy")
        return FeatureAccuracy(**numbers), notes
    numbers |= {"k": own.k, "temperature": own.temperature, "gallery": gallery.name}
    numbers["gallery_images"] = len(own.labels)
    if own.k < K:
        notes.append(f"the gallery has {own.k} photos, so {own.k} neighbours vote instead of {K}")
    if records.voted_float is not None:
        numbers["knn_agreement"] = percent(records.voted == records.voted_float)
    place = {name: index for index, name in enumerate(gallery.classes)}
    right = np.array([place.get(name, -1) for name in photo_classes], dtype=np.int64)
    if len(right) and (right < 0).all():
        raise DataError(
            f"{gallery.name}: its classes ({', '.join(gallery.classes[:3])}, ...) are not the photos' "
            f"({', '.join(list(photo_classes)[:3])}, ...); name its subfolders as those of the photos"
        )
    known = records.labels >= 0
    if len(right) and known.any():
        if (right < 0).any():
            notes.append(
                f"{int((right < 0).sum())} of the photos' classes are not in the gallery and count as wrong"
            )
        truth = right[records.labels[known]]
        numbers["knn_top1"] = percent((records.voted[known] == truth) & (truth >= 0))
        if records.voted_float is not None:
            numbers["knn_top1_float"] = percent((records.voted_float[known] == truth) & (truth >= 0))
    return FeatureAccuracy(**numbers), notes
