"""How good a program is: top-1, top-5, agreement with the float model, SQNR of the feature, and per class."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.data.loader import Batch, side_by_side
from p2vit.evaluate.labels import label_map
from p2vit.evaluate.records import TOP, Pixels, Predict, Records, join, record
from p2vit.program.graph import IntegerProgram

Progress = Callable[[str, int, int], None]

#: A larger confusion matrix helps nobody; the commonest confusions do.
MOST_CONFUSION, MOST_CONFUSED = 50, 20


class ClassAccuracy(BaseModel):
    """One class; percentages of its photos."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="the class, as the photos call it")
    output: int = Field(description="the model's output that it is")
    images: int = Field(description="photos of it")
    top1: float = Field(description="percent of them that the program gets right")
    top5: float | None = Field(description="percent with the class among five; null below six classes")
    top1_float: float | None = Field(description="top1 of the float model")
    agreement: float | None = Field(description="percent where both say the same class")
    sqnr_db: float | None = Field(description="SQNR of the feature over its photos, dB")


class Confusion(BaseModel):
    """A class that is taken for another."""

    model_config = ConfigDict(frozen=True)

    true: str = Field(description="the photos' class")
    predicted: str = Field(description="the program's answer")
    images: int = Field(description="how often")


class Accuracy(BaseModel):
    """What was measured; percentages have two decimals, null stands for what could not be measured."""

    model_config = ConfigDict(frozen=True)

    images: int = Field(description="photos evaluated")
    top1: float | None = Field(description="percent of the labelled photos whose first class is right")
    top5: float | None = Field(description="percent with the right class among five; null below six classes")
    top1_float: float | None = Field(description="top1 of the float model")
    top5_float: float | None = Field(description="top5 of the float model")
    agreement: float | None = Field(description="percent where program and float model say the same class")
    sqnr_db: float | None = Field(description="SQNR of the feature over all photos, dB")
    per_class: list[ClassAccuracy] = Field(description="one row per class of the photos")
    confusion: list[list[int]] | None = Field(description="photos [true class][the program's class]")
    most_confused: list[Confusion] = Field(description="the commonest confusions")
    classes: list[str] = Field(description="names of the confusion matrix's rows and columns")
    notes: list[str] = Field(description="what could not be measured and why")


def percent(hits: NDArray[np.bool_]) -> float | None:
    """Share of hits in percent, two decimals; None of nothing."""
    return round(100 * float(hits.mean()), 2) if hits.size else None


def sqnr(records: Records, which: NDArray[np.bool_] | slice = slice(None)) -> float | None:
    """10·log10(Σ float² / Σ (float − program)²) over photos, two decimals.

    The sums are exact (`math.fsum` of one number per photo), so they do not depend on batches or processes.

    Returns:
        dB; None without a float model, infinite where both are equal.
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
    """Make a `Predict` of a program and what runs it.

    Args:
        program: Its tensor specs tell what the integers stand for.
        executor: With ``run(pixels)``.
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
    """Number the photos of (pixels, labels) one after the other."""
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
        exact: The float model; None where it cannot be had.
        batches: The photos.
        has_head: Whether logits mean classes.
        keep: Also keep the features.
        workers: Batches that run side by side.
        prepare: Called once in every worker's thread.
        done: Called with every batch, in order.

    Returns:
        One row per photo.
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
    """Names of classes on both sides.

    Attributes:
        photos: In label order.
        model: In the order of the outputs, or empty.
        outputs: Outputs of the head; 0 where there is none.
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
    """Run photos through a program and its float model, and sum up.

    Args:
        predict: The program.
        exact: The float model; None where it cannot be had.
        batches: (uint8 [B, H, W, 3], int64 [B]).
        classes: Of the photos and of the model.
        total: Photos, for the progress.
        workers: Batches that run side by side.
        prepare: Called once in every worker's thread.
        progress: Called with ("evaluate", done, total).

    Returns:
        What was measured.
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
    """Percentages and tables of what was measured.

    Args:
        records: Of all photos, in their order.
        label_of: Output of each of the photos' classes; None where that cannot be said.
        photo_classes: Names in label order.
        model_classes: Names in the order of the outputs, or empty.
        outputs: Outputs of the head; 0 where there is none.
        notes: What is known already.
    """
    found = [] if records.signal is not None else ["no float model: no float accuracy, agreement or SQNR"]
    if not outputs:
        found.append("the model has no head: only the feature is compared")
    names = list(model_classes)
    if not names and label_of is not None and sorted(label_of.tolist()) == list(range(outputs)):
        names = [name for _, name in sorted(zip(label_of.tolist(), photo_classes, strict=True))]
    names = names or [str(index) for index in range(outputs)]
    tables: dict[str, Any] = {"per_class": [], "confusion": None, "most_confused": []}
    numbers: dict[str, Any] = dict.fromkeys(("top1", "top5", "top1_float", "top5_float", "agreement"))
    if outputs and len(records):
        truth = np.full(len(records), -1, dtype=np.int64)
        if label_of is not None:
            truth = np.where(records.labels >= 0, label_of[records.labels], -1)
        labelled = truth >= 0
        for suffix, ranks in (("", records.ranked), ("_float", records.ranked_float)):
            if ranks is not None:
                hits = ranks[labelled] == truth[labelled, None]
                numbers[f"top1{suffix}"] = percent(hits[:, 0])
                numbers[f"top5{suffix}"] = percent(hits.any(axis=1)) if outputs > TOP else None
        if records.ranked_float is not None and outputs > 1:
            numbers["agreement"] = percent(records.ranked[:, 0] == records.ranked_float[:, 0])
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
    """One row per class that has photos, in the photos' order of classes.

    Args:
        records: Of all photos.
        truth: int64 [photos], the right output, -1 where unknown.
        label_of: Output of each of the photos' classes.
        photo_classes: Names in label order.
        outputs: Outputs of the head.
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
