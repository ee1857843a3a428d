"""How good a program is: top-1, top-5, agreement with the float model, and SQNR of the feature."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.program.graph import IntegerProgram
from p2vit.report.labels import label_map

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
#: uint8 pixels → (logits [B, K], features [B, C]) as real numbers.
Predict = Callable[[Pixels], tuple[NDArray[np.floating], NDArray[np.floating]]]
Progress = Callable[[str, int, int], None]

TOP = 5
#: A larger confusion matrix helps nobody.
MOST_CONFUSION = 50


class ClassAccuracy(BaseModel):
    """One class."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="the class, as the photos call it")
    images: int = Field(description="photos of it")
    top1: float = Field(description="percent of them that the program gets right")
    top1_float: float | None = Field(description="the same of the float model")


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
    classes: list[str] = Field(description="names of the confusion matrix's rows and columns")
    notes: list[str] = Field(description="what could not be measured and why")


class Tally:
    """Counts over batches.

    Args:
        outputs: Classes of the model; 0 where it has no head.
        label_of: Output that each of the photos' classes means, or None.
    """

    def __init__(self, outputs: int, label_of: NDArray[np.int64] | None) -> None:
        self.outputs = outputs
        self.label_of = label_of
        self.truth: list[Labels] = []
        self.ranked: list[NDArray[np.int64]] = []
        self.ranked_float: list[NDArray[np.int64]] = []
        self.signal = self.noise = 0.0
        self.images = 0

    def add(self, labels: Labels, ours: Any, exact: Any | None) -> None:
        """Count one batch: its labels, and (logits, features) of the program and of the float model."""
        self.images += len(labels)
        if self.outputs:
            known = np.full(len(labels), -1, dtype=np.int64)
            if self.label_of is not None:
                known = np.where(labels >= 0, self.label_of[labels], -1)
            self.truth.append(known)
            self.ranked.append(ranking(ours[0]))
            if exact is not None:
                self.ranked_float.append(ranking(exact[0]))
        if exact is not None:
            wanted = np.asarray(exact[1], np.float64)
            self.signal += float((wanted**2).sum())
            self.noise += float(((wanted - np.asarray(ours[1], np.float64)) ** 2).sum())

    @property
    def sqnr_db(self) -> float | None:
        """10·log10(Σ float² / Σ (float − program)²); None without a float model, infinite where they are equal."""
        if not self.signal:
            return None
        return 10 * math.log10(self.signal / self.noise) if self.noise else math.inf


def ranking(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Best classes first, at most five; of equal logits the lower index comes first."""
    return np.argsort(-np.asarray(logits, np.float64), axis=-1, kind="stable")[:, :TOP]


def percent(hits: NDArray[np.bool_]) -> float | None:
    """Share of hits in percent, two decimals; None of nothing."""
    return round(100 * float(hits.mean()), 2) if hits.size else None


def executor_predict(program: IntegerProgram, executor: Any) -> Predict:
    """Make a `Predict` of a program and what runs it.

    Args:
        program: Its tensor specs tell what the integers stand for.
        executor: With ``run(pixels)``.
    """

    def predict(pixels: Pixels) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        tensors = executor.run(pixels)
        logits, feature = (
            program.tensors[name].real(tensors[name]) for name in (program.output, program.feature)
        )
        return logits.reshape(len(pixels), -1), feature.reshape(len(pixels), -1)

    return predict


def measure(
    predict: Predict,
    exact: Predict | None,
    batches: Iterable[tuple[Pixels, Labels]],
    *,
    total: int,
    photo_classes: Sequence[str],
    model_classes: Sequence[str],
    outputs: int,
    workers: int = 1,
    prepare: Callable[[], None] = lambda: None,
    progress: Progress = lambda stage, done, total: None,
) -> Accuracy:
    """Run photos through a program and its float model and count.

    Args:
        predict: The program.
        exact: The float model; None where it cannot be had.
        batches: (uint8 [B, H, W, 3], int64 [B]).
        total: Photos, for the progress.
        photo_classes: Names in label order.
        model_classes: Names in the order of the outputs, or empty.
        outputs: Outputs of the head; 0 where there is none.
        workers: Batches that run side by side.
        prepare: Called once in every worker's thread.
        progress: Called with ("evaluate", done, total).

    Returns:
        What was measured.
    """
    notes = [] if exact is not None else ["no float model: no float accuracy, agreement or SQNR"]
    label_of, note = (None, "the model has no head: only the feature is compared")
    if outputs:
        label_of, note = label_map(photo_classes, model_classes, outputs)
    if note:
        notes.append(note)
    tally = Tally(outputs, label_of)

    def work(batch: tuple[Pixels, Labels]) -> tuple[Labels, Any, Any]:
        pixels, labels = batch
        return labels, predict(pixels), None if exact is None else exact(pixels)

    progress("evaluate", 0, total)
    for labels, ours, theirs in side_by_side(work, batches, workers, prepare):
        tally.add(labels, ours, theirs)
        progress("evaluate", tally.images, max(total, tally.images))
    return summarise(tally, list(photo_classes), list(model_classes), notes)


def summarise(tally: Tally, photo_classes: list[str], model_classes: list[str], notes: list[str]) -> Accuracy:
    """Percentages and tables of what was counted."""
    numbers: dict[str, Any] = dict.fromkeys(("top1", "top5", "top1_float", "top5_float", "agreement"))
    rows: list[ClassAccuracy] = []
    confusion = None
    if tally.outputs and tally.images:
        truth, ranked = np.concatenate(tally.truth), np.concatenate(tally.ranked)
        ranked_float = np.concatenate(tally.ranked_float) if tally.ranked_float else None
        labelled = truth >= 0
        for suffix, ranks in (("", ranked), ("_float", ranked_float)):
            if ranks is not None:
                hits = ranks[labelled] == truth[labelled, None]
                numbers[f"top1{suffix}"] = percent(hits[:, 0])
                numbers[f"top5{suffix}"] = percent(hits.any(axis=1)) if tally.outputs > TOP else None
        if ranked_float is not None:
            numbers["agreement"] = percent(ranked[:, 0] == ranked_float[:, 0])
        if tally.label_of is not None and labelled.any():
            for name, output in zip(photo_classes, tally.label_of.tolist(), strict=True):
                mine = truth == output
                if mine.any():
                    theirs = None if ranked_float is None else percent(ranked_float[mine, 0] == output)
                    share = percent(ranked[mine, 0] == output) or 0.0
                    rows.append(
                        ClassAccuracy(name=name, images=int(mine.sum()), top1=share, top1_float=theirs)
                    )
            if tally.outputs <= MOST_CONFUSION:
                counts = np.zeros((tally.outputs, tally.outputs), dtype=np.int64)
                np.add.at(counts, (truth[labelled], ranked[labelled, 0]), 1)
                confusion = counts.tolist()
    names = model_classes
    if not names and tally.label_of is not None and len(photo_classes) == tally.outputs:
        names = photo_classes
    sqnr = tally.sqnr_db
    return Accuracy(
        images=tally.images,
        sqnr_db=None if sqnr is None else round(sqnr, 2),
        per_class=rows,
        confusion=confusion,
        classes=names or [str(index) for index in range(tally.outputs)],
        notes=notes,
        **numbers,
    )


def side_by_side(
    work: Callable[[Any], Any], items: Iterable[Any], workers: int, prepare: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Results of ``work`` in order; at most ``workers`` run at once, and few items wait in memory.

    Args:
        work: Called in threads.
        items: Read one by one as places get free.
        workers: Threads.
        prepare: Called once in every thread.

    Yields:
        One result per item.
    """
    with ThreadPoolExecutor(workers, initializer=prepare) as pool:
        running: deque[Future[Any]] = deque()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
