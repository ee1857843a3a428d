"""Accuracy of a program: top-1, top-5, agreement with the float model, SQNR of the features, and figures per class."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.data.loader import Batch, side_by_side
from p2vit.evaluate.differences import Difference
from p2vit.evaluate.labels import label_map
from p2vit.evaluate.records import TOP, Pixels, Predict, Records, join, record
from p2vit.evaluate.uncertainty import Interval, McNemar, mcnemar, wilson
from p2vit.program.graph import IntegerProgram

Progress = Callable[[str, int, int], None]

#: Most classes of a confusion matrix, and most entries of the list of confusions.
MOST_CONFUSION, MOST_CONFUSED = 50, 20


class ClassAccuracy(BaseModel):
    """Accuracy on the photos of one class, in percent."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the class, from the photos")
    output: int = Field(description="index of the model's output for this class")
    images: int = Field(description="photos of the class")
    top1: float = Field(description="percent that the program classifies correctly")
    top5: float | None = Field(
        description="percent with this class among the best five; null below six classes"
    )
    top1_float: float | None = Field(description="top1 of the float model")
    agreement: float | None = Field(
        description="percent where program and float model predict the same class"
    )
    sqnr_db: float | None = Field(description="SQNR of the features over its photos, dB")


class Confusion(BaseModel):
    """Photos of one class that the program classifies as another class."""

    model_config = ConfigDict(frozen=True)

    true: str = Field(description="true class of the photos")
    predicted: str = Field(description="class that the program predicts")
    images: int = Field(description="number of photos")


class Accuracy(BaseModel):
    """Accuracy on photos. Percentages are 0 to 100 with two decimals; None if it could not be measured."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="photos evaluated")
    top1: float | None = Field(description="percent of the labelled photos that are classified correctly")
    top5: float | None = Field(
        description="percent with the true class among the best five; null below six classes"
    )
    top1_float: float | None = Field(description="top1 of the float model")
    top5_float: float | None = Field(description="top5 of the float model")
    agreement: float | None = Field(
        description="percent where program and float model predict the same class"
    )
    top1_interval: Interval | None = Field(None, description="95 % interval of top1 (Wilson), percent")
    top1_float_interval: Interval | None = Field(
        None, description="95 % interval of top1_float (Wilson), percent"
    )
    agreement_interval: Interval | None = Field(
        None, description="95 % interval of agreement (Wilson), percent"
    )
    mcnemar: McNemar | None = Field(None, description="McNemar's exact test of top1 against top1_float")
    sqnr_db: float | None = Field(description="SQNR of the features over all photos, dB")
    per_class: list[ClassAccuracy] = Field(description="one row per class of the photos")
    confusion: list[list[int]] | None = Field(description="photos [true class][predicted class]")
    most_confused: list[Confusion] = Field(description="the most common confusions")
    most_different: list[Difference] = Field(
        default_factory=list, description="photos on which program and float model differ most"
    )
    classes: list[str] = Field(description="names of the confusion matrix's rows and columns")
    notes: list[str] = Field(description="what could not be measured and why")


def percent(hits: NDArray[np.bool_]) -> float | None:
    """Return the share of hits in percent, with two decimals, or None for an empty array."""
    return round(100 * float(hits.mean()), 2) if hits.size else None


def sqnr(records: Records, which: NDArray[np.bool_] | slice = slice(None)) -> float | None:
    """Return 10·log10(Σ float² / Σ (float − program)²) over photos, with two decimals.

    The sums are exact (`math.fsum` of one number per photo), so they do not depend on batches or processes.

    Args:
        records: Records of the photos.
        which: Photos to include.

    Returns:
        SQNR in dB; None without a float model, infinity if both features are equal.
    """
    if records.signal is None or records.noise is None:
        return None
    return decibels(records.signal[which], records.noise[which])


def decibels(signals: NDArray[np.float64], noises: NDArray[np.float64]) -> float | None:
    """10·log10(Σ signal / Σ noise) with exact sums, two decimals; None of nothing, infinite without noise."""
    signal, noise = math.fsum(signals), math.fsum(noises)
    if not signal:
        return None
    return round(10 * math.log10(signal / noise), 2) if noise else math.inf


def executor_predict(program: IntegerProgram, executor: Any, maps: bool = False) -> Predict:
    """Return a function from pixels to real logits, features and feature maps, computed by a program.

    Args:
        program: The program, for the scale exponents of its tensors.
        executor: An executor of the program, with ``run(pixels)``.
        maps: Also return the feature maps that are patch tokens of a block.
    """
    measured = [each for each in program.maps if maps and each.layer is not None]

    def predict(pixels: Pixels) -> Sequence[NDArray[np.floating]]:
        tensors = executor.run(pixels)
        logits, feature = (
            program.tensors[name].real(tensors[name]) for name in (program.output, program.feature)
        )
        dense = [program.tensors[each.name].real(tensors[each.name])[:, each.first :] for each in measured]
        return logits.reshape(len(pixels), -1), feature.reshape(len(pixels), -1), *dense

    return predict


def as_batches(batches: Iterable[tuple[Pixels, NDArray[np.int64]]]) -> Iterable[Batch]:
    """Convert (pixels, labels) pairs to batches whose photos are numbered consecutively."""
    start = 0
    for pixels, labels in batches:
        yield Batch(np.arange(start, start + len(labels)), pixels, labels)
        start += len(labels)


def collect(
    predict: Predict,
    exact: Predict | None,
    batches: Iterable[Batch],
    *,
    has_head: bool,
    keep: bool = False,
    workers: int = 1,
    prepare: Callable[[], None] = lambda: None,
    done: Callable[[Batch], None] = lambda batch: None,
) -> Records:
    """Run photos through a program and its float model.

    Args:
        predict: The program.
        exact: The float model; None without one.
        batches: The photos.
        has_head: Whether the logits are classes.
        keep: Also keep the features.
        workers: Number of batches that run in parallel.
        prepare: Called once in the thread of every worker.
        done: Called with every batch, in order.

    Returns:
        One record per photo.
    """

    def work(batch: Batch) -> tuple[Batch, Records]:
        return batch, record(batch, predict, exact, has_head=has_head, keep=keep)

    parts = []
    for batch, found in side_by_side(work, batches, workers, prepare):
        parts.append(found)
        done(batch)
    none = np.zeros(0, np.int64)
    return join(parts) if parts else Records(none, none, np.zeros((0, 0), np.int64))


@dataclass(frozen=True)
class Classes:
    """Names of the classes of the photos and of the model.

    Attributes:
        photos: Classes of the photos, in the order of the labels.
        model: Classes of the model, in the order of its outputs, or empty.
        outputs: Number of outputs; 0 without a head.
    """

    photos: Sequence[str]
    model: Sequence[str]
    outputs: int


def measure(
    predict: Predict,
    exact: Predict | None,
    batches: Iterable[tuple[Pixels, NDArray[np.int64]]],
    classes: Classes,
    *,
    total: int,
    workers: int = 1,
    prepare: Callable[[], None] = lambda: None,
    progress: Progress = lambda stage, done, total: None,
) -> Accuracy:
    """Run photos through a program and its float model, and compute the accuracy.

    Args:
        predict: The program.
        exact: The float model; None without one.
        batches: Photos and labels: (uint8 [B, H, W, 3], int64 [B]).
        classes: Classes of the photos and of the model.
        total: Number of photos, for the progress.
        workers: Number of batches that run in parallel.
        prepare: Called once in the thread of every worker.
        progress: Called with ("evaluate", done, total).

    Returns:
        The accuracy.
    """
    seen = 0

    def done(batch: Batch) -> None:
        nonlocal seen
        seen += len(batch.places)
        progress("evaluate", seen, max(total, seen))

    names = (classes.photos, classes.model, classes.outputs)
    label_of, note = label_map(*names) if classes.outputs else (None, "")
    progress("evaluate", 0, total)
    records = collect(
        predict,
        exact,
        as_batches(batches),
        has_head=bool(classes.outputs),
        workers=workers,
        prepare=prepare,
        done=done,
    )
    return summarise(records, label_of, *names, [note] if note else [])


def summarise(
    records: Records,
    label_of: NDArray[np.int64] | None,
    photo_classes: Sequence[str],
    model_classes: Sequence[str],
    outputs: int,
    notes: Sequence[str] = (),
) -> Accuracy:
    """Compute percentages and tables from the records of all photos.

    Args:
        records: Records of all photos, in their order.
        label_of: Output of each class of the photos, int64 [classes]; None if unknown.
        photo_classes: Classes of the photos, in the order of the labels.
        model_classes: Classes of the model, in the order of its outputs, or empty.
        outputs: Number of outputs; 0 without a head.
        notes: Notes to include in the result.
    """
    found = [] if records.signal is not None else ["no float model: no float accuracy, agreement or SQNR"]
    if not outputs:
        found.append("the model has no head: only the features are compared")
    names = list(model_classes)
    if not names and label_of is not None and sorted(label_of.tolist()) == list(range(outputs)):
        names = [name for _, name in sorted(zip(label_of.tolist(), photo_classes, strict=True))]
    names = names or [str(index) for index in range(outputs)]
    tables: dict[str, Any] = {"per_class": [], "confusion": None, "most_confused": []}
    numbers: dict[str, Any] = dict.fromkeys(("top1", "top5", "top1_float", "top5_float", "agreement"))
    numbers |= dict.fromkeys(("top1_interval", "top1_float_interval", "agreement_interval", "mcnemar"))
    if outputs and len(records):
        truth = np.full(len(records), -1, dtype=np.int64)
        if label_of is not None:
            truth = np.where(records.labels >= 0, label_of[records.labels], -1)
        labelled, right = truth >= 0, {}
        for suffix, ranks in (("", records.ranked), ("_float", records.ranked_float)):
            if ranks is not None:
                hits = ranks[labelled] == truth[labelled, None]
                right[suffix] = hits[:, 0]
                numbers[f"top1{suffix}"] = percent(hits[:, 0])
                numbers[f"top1{suffix}_interval"] = wilson(hits[:, 0])
                numbers[f"top5{suffix}"] = percent(hits.any(axis=1)) if outputs > TOP else None
        if records.ranked_float is not None and outputs > 1:
            same = records.ranked[:, 0] == records.ranked_float[:, 0]
            numbers |= {"agreement": percent(same), "agreement_interval": wilson(same)}
            numbers["mcnemar"] = mcnemar(right[""], right["_float"])
        if label_of is not None and labelled.any():
            tables["per_class"] = class_rows(records, truth, label_of, photo_classes, outputs)
            pairs, counts = np.unique(
                np.stack([truth[labelled], records.ranked[labelled, 0]], axis=1), axis=0, return_counts=True
            )
            if outputs <= MOST_CONFUSION:
                matrix = np.zeros((outputs, outputs), dtype=np.int64)
                matrix[pairs[:, 0], pairs[:, 1]] = counts
                tables["confusion"] = matrix.tolist()
            wrong = pairs[:, 0] != pairs[:, 1]
            often = np.argsort(-counts[wrong], kind="stable")[:MOST_CONFUSED]
            called: dict[int, str] = {}
            for name, output in zip(photo_classes, label_of.tolist(), strict=True):
                called.setdefault(output, name)
            tables["most_confused"] = [
                Confusion(true=called[true], predicted=called.get(said, names[said]), images=images)
                for (true, said), images in zip(
                    pairs[wrong][often].tolist(), counts[wrong][often].tolist(), strict=True
                )
            ]
    return Accuracy(
        images=len(records), sqnr_db=sqnr(records), classes=names, notes=[*found, *notes], **numbers, **tables
    )


def class_rows(
    records: Records,
    truth: NDArray[np.int64],
    label_of: NDArray[np.int64],
    photo_classes: Sequence[str],
    outputs: int,
) -> list[ClassAccuracy]:
    """Return the accuracy of each class that has photos, in the order of the labels.

    Args:
        records: Records of all photos.
        truth: True output of each photo, int64 [photos]; -1 if unknown.
        label_of: Output of each class of the photos, int64 [classes].
        photo_classes: Classes of the photos, in the order of the labels.
        outputs: Number of outputs.
    """
    rows = []
    for label, (name, output) in enumerate(zip(photo_classes, label_of.tolist(), strict=True)):
        mine = (records.labels == label) & (truth >= 0)
        if not mine.any():
            continue
        ranks, theirs = records.ranked[mine], records.ranked_float
        rows.append(
            ClassAccuracy(
                name=name,
                output=output,
                images=int(mine.sum()),
                top1=percent(ranks[:, 0] == output) or 0.0,
                top5=percent((ranks == output).any(axis=1)) if outputs > TOP else None,
                top1_float=None if theirs is None else percent(theirs[mine, 0] == output),
                agreement=None if theirs is None else percent(theirs[mine, 0] == ranks[:, 0]),
                sqnr_db=sqnr(records, mine),
            )
        )
    return rows
