"""Measurements of each photo. They are kept per photo, so that no figure depends on how batches are divided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.data.loader import Batch

Pixels = NDArray[np.uint8]
Features = NDArray[np.floating]
#: Function from pixels, uint8 [B, H, W, 3], to real logits [B, K], features [B, C] and feature maps [B, patches, C].
Predict = Callable[[Pixels], Sequence[NDArray[np.floating]]]

TOP = 5


@dataclass(frozen=True)
class Records:
    """One row per photo. A column that was not measured is None.

    Attributes:
        places: int64 [N], position of the photo in the evaluation.
        labels: int64 [N], label of the photo, -1 without one.
        ranked: int64 [N, up to 5], best outputs of the program; [N, 0] without a head.
        ranked_float: int64 [N, up to 5], best outputs of the float model.
        signal: float64 [N], Σ float² over the feature channels.
        noise: float64 [N], Σ (float − program)² over the feature channels.
        cosine: float64 [N], cosine similarity of the two features.
        voted: int64 [N], class by k-NN on the program's features.
        voted_float: int64 [N], class by k-NN on the float model's features.
        features: float32 [N, C], features of the program, if kept.
        features_float: float32 [N, C], features of the float model, if kept.
        map_signal: float64 [N, maps], Σ float² over the numbers of each feature map.
        map_noise: float64 [N, maps], Σ (float − program)² over the numbers of each feature map.
        map_cosine: float64 [N, maps], mean over patches of the cosine similarity of the two vectors.
        map_cosine_min: float64 [N, maps], cosine similarity of the least similar patch.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    ranked: NDArray[np.int64]
    ranked_float: NDArray[np.int64] | None = None
    signal: NDArray[np.float64] | None = None
    noise: NDArray[np.float64] | None = None
    cosine: NDArray[np.float64] | None = None
    voted: NDArray[np.int64] | None = None
    voted_float: NDArray[np.int64] | None = None
    features: NDArray[np.float32] | None = None
    features_float: NDArray[np.float32] | None = None
    map_signal: NDArray[np.float64] | None = None
    map_noise: NDArray[np.float64] | None = None
    map_cosine: NDArray[np.float64] | None = None
    map_cosine_min: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.places)


def record(
    batch: Batch,
    predict: Predict,
    exact: Predict | None,
    *,
    has_head: bool,
    keep: bool = False,
) -> Records:
    """Run one batch and return its measurements.

    Args:
        batch: Photos; the batch may be empty.
        predict: The program.
        exact: The float model, or None.
        has_head: Whether the logits are classes.
        keep: Also keep the features.

    Returns:
        One row per photo.
    """
    if not len(batch.places):
        none = np.zeros(0, np.int64)
        return Records(none, none, np.zeros((0, 0), np.int64))
    logits, features, *maps = predict(batch.pixels)
    nothing = np.zeros((len(batch.places), 0), np.int64)
    found: dict[str, Any] = {"ranked": ranking(logits) if has_head else nothing}
    if keep:
        found["features"] = features.astype(np.float32)
    if exact is not None:
        exact_logits, wanted, *wanted_maps = exact(batch.pixels)
        wanted, ours = wanted.astype(np.float64), features.astype(np.float64)
        found["ranked_float"] = ranking(exact_logits) if has_head else nothing
        found["signal"] = (wanted**2).sum(axis=1)
        found["noise"] = ((wanted - ours) ** 2).sum(axis=1)
        found["cosine"] = cosines(ours, wanted)
        if keep:
            found["features_float"] = wanted.astype(np.float32)
        if wanted_maps:
            found |= map_columns(maps, wanted_maps)
    return Records(batch.places, batch.labels, **found)


def map_columns(
    ours: Sequence[NDArray[np.floating]], wanted: Sequence[NDArray[np.floating]]
) -> dict[str, NDArray[np.float64]]:
    """The columns of `Records` about feature maps.

    Args:
        ours: The program's maps, [B, patches, C] each.
        wanted: The float model's, in the same order.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for mine, theirs in zip(ours, wanted, strict=True):
        a, b = mine.astype(np.float64), theirs.astype(np.float64)
        alike = cosines(a, b)
        rows.setdefault("map_signal", []).append((b**2).sum(axis=(1, 2)))
        rows.setdefault("map_noise", []).append(((a - b) ** 2).sum(axis=(1, 2)))
        rows.setdefault("map_cosine", []).append(alike.mean(axis=1))
        rows.setdefault("map_cosine_min", []).append(alike.min(axis=1))
    return {name: np.stack(columns, axis=1) for name, columns in rows.items()}


def join(parts: Sequence[Records]) -> Records:
    """Join records in the order of the photos. A column that some photos lack becomes None."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    columns: dict[str, Any] = {}
    for name in (field.name for field in fields(Records)):
        values = [getattr(part, name) for part in parts]
        columns[name] = None if any(value is None for value in values) else np.concatenate(values)
    order = np.argsort(columns["places"], kind="stable")
    in_order: dict[str, Any] = {
        name: None if value is None else value[order] for name, value in columns.items()
    }
    return Records(**in_order)


def ranking(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Return the best outputs of each row, at most five, best first. Of equal logits the lower index comes first."""
    return np.argsort(-np.asarray(logits, np.float64), axis=-1, kind="stable")[:, :TOP]


def cosines(ours: Features, wanted: Features) -> NDArray[np.float64]:
    """Return the cosine similarity of each pair of vectors along the last axis; 0 if one of them is all zeros."""
    lengths = np.sqrt((ours**2).sum(axis=-1) * (wanted**2).sum(axis=-1))
    return np.divide((ours * wanted).sum(axis=-1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
