"""One evaluation from photos to figures, by one process or by several that share the batches."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.data.class_index import ClassIndex
from p2vit.data.loader import Batch, load_batches, side_by_side
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError, P2vitError, some
from p2vit.program.graph import IntegerProgram
from p2vit.report.accuracy import Accuracy, Progress, collect, summarise
from p2vit.report.features import FeatureAccuracy, judge
from p2vit.report.labels import label_map
from p2vit.report.neighbours import TEMPERATURE, Gallery, K
from p2vit.report.records import Predict, Records, join
from p2vit.report.world import World

#: Folders that hold the parts of a data set, and no classes.
SPLITS = {"train", "training", "val", "valid", "validation", "test"}


@dataclass(frozen=True)
class Job:
    """What is evaluated, and how the work is shared out; figures do not depend on the latter.

    Attributes:
        program: The program.
        predict: What runs it.
        exact: The float model, or None.
        batch_size: Photos that run together.
        workers: Threads that read photos ahead.
        threads: Batches that run side by side.
        prepare: Called once in every thread that computes.
        world: The processes of the run.
        progress: Called with (stage, done, total).
    """

    program: IntegerProgram
    predict: Predict
    exact: Predict | None
    batch_size: int
    workers: int
    threads: int
    prepare: Callable[[], None]
    world: World
    progress: Progress

    def batches(self, photos: PhotoSource, order: NDArray[np.int64]) -> Any:
        """The process's own share of the batches."""
        share = (self.world.rank, self.world.size)
        return load_batches(photos, order, self.batch_size, workers=self.workers, share=share)

    @property
    def outputs(self) -> int:
        """Classes; 0 without a head."""
        if self.program.output == self.program.feature:
            return 0
        return self.program.tensors[self.program.output].shape[-1]


def evaluate_photos(
    job: Job,
    photos: PhotoSource,
    *,
    limit: int | None = None,
    index: ClassIndex | None = None,
    feature: bool = False,
    gallery: tuple[PhotoSource, NDArray[np.int64]] | None = None,
    k: int = K,
) -> tuple[Accuracy, FeatureAccuracy | None, list[tuple[int, str, str]]]:
    """Measure a program; in a run of several processes each of them must call this.

    Args:
        job: What runs, and how.
        photos: The photos.
        limit: At most so many.
        index: Names of the outputs, from a class-index file.
        feature: Also judge features.
        gallery: Labelled photos that vote, and which of them.
        k: Neighbours that vote.

    Returns:
        (accuracy, figures of the features or None, (place, path, reason) of photos that could not be read): the
        same in every process.

    Raises:
        DataError: no photo could be read, or labels do not fit.
        OtherProcessError: another process has failed.
    """
    order = photos.order(limit)
    check_splits(photos)
    numbered, listed = getattr(photos, "numbered", False), getattr(photos, "listed", False)
    label_of, note = None, ""
    if job.outputs:
        label_of, note = label_map(
            photos.classes, job.program.classes, job.outputs, numbered=numbered, listed=listed, index=index
        )
    agree(job.world, photos, order, job)
    notes = [*getattr(photos, "notes", []), *([note] if note else [])]
    galleries: list[Gallery | None] = [None, None]
    if gallery is not None:
        galleries = fill(job, *gallery, k)
    votes = tuple(None if one is None else one.vote for one in galleries)
    records, skipped = run(job, photos, order, votes)  # type: ignore[arg-type]
    if not len(records):
        reasons = some([reason for _, _, reason in skipped], most=2)
        raise DataError(f"{photos.name}: none of the {len(order)} photos could be read: {reasons}")
    accuracy = summarise(records, label_of, photos.classes, job.program.classes, job.outputs, notes)
    if not feature:
        return accuracy, None, skipped
    figures, more = judge(records, galleries, None if gallery is None else gallery[0], photos.classes)
    return accuracy.model_copy(update={"notes": [*accuracy.notes, *more]}), figures, skipped


def run(
    job: Job, photos: PhotoSource, order: NDArray[np.int64], votes: tuple[Any, Any]
) -> tuple[Records, list[tuple[int, str, str]]]:
    """Run this process's share of the photos and put all shares together."""
    skipped: list[tuple[int, str, str]] = []

    def done(batch: Batch) -> None:
        skipped.extend(batch.skipped)
        job.world.check()
        seen = job.world.advance(len(batch.places) + len(batch.skipped))
        job.progress("evaluate", min(seen, len(order)), len(order))

    job.progress("evaluate", 0, len(order))
    own = collect(
        job.predict,
        job.exact,
        job.batches(photos, order),
        has_head=bool(job.outputs),
        votes=votes,
        workers=job.threads,
        prepare=job.prepare,
        done=done,
    )
    shares = job.world.gather((own, skipped))
    job.progress("evaluate", len(order), len(order))
    return join([records for records, _ in shares]), sorted(row for _, rows in shares for row in rows)


def fill(job: Job, photos: PhotoSource, order: NDArray[np.int64], k: int) -> list[Gallery | None]:
    """Features of the gallery's photos: of the program and, where there is one, of the float model."""

    def work(batch: Batch) -> tuple[Batch, Any, Any]:
        if not len(batch.places):
            return batch, None, None
        # Photos of a gallery are many; single precision is finer than the grid that they are rounded to.
        theirs = None if job.exact is None else job.exact(batch.pixels)[1].astype(np.float32)
        return batch, job.predict(batch.pixels)[1].astype(np.float32), theirs

    own = []
    seen = 0
    for batch, ours, theirs in side_by_side(work, job.batches(photos, order), job.threads, job.prepare):
        job.world.check()
        seen = min(seen + len(batch.places) * job.world.size, len(order))
        job.progress("gallery", seen, len(order))
        if ours is not None:
            own.append((batch.places, batch.labels, ours, theirs))
    parts = sorted((part for share in job.world.gather(own) for part in share), key=lambda part: part[0][0])
    if not parts:
        raise DataError(f"{photos.name}: none of the gallery's {len(order)} photos could be read")
    labels = np.concatenate([part[1] for part in parts])
    features = [np.concatenate([part[2] for part in parts])]
    if job.exact is not None:
        features.append(np.concatenate([part[3] for part in parts]))
    galleries: list[Gallery | None] = [Gallery(found, labels, k, TEMPERATURE) for found in features]
    return [*galleries, *[None] * (2 - len(galleries))]


def agree(world: World, photos: PhotoSource, order: NDArray[np.int64], job: Job) -> None:
    """Refuse processes that see different photos or programs.

    Raises:
        P2vitError: they do.
    """
    if world.size == 1:
        return
    from p2vit.program.format import program_sha256

    digest = hashlib.sha256("\n".join(photos.title(number) for number in order.tolist()).encode())
    digest.update(photos.labels_of(order).tobytes())
    mine = (program_sha256(job.program), digest.hexdigest(), job.batch_size, job.exact is None)
    for rank, other in enumerate(world.gather(mine)):
        if other != mine:
            pairs = zip(
                ("programs", "photos or labels", "batch sizes", "float models"), mine, other, strict=True
            )
            what = " and ".join(name for name, ours, theirs in pairs if ours != theirs)
            raise P2vitError(
                f"processes {world.rank} and {rank} have different {what}; every machine needs the same files under "
                "the same paths, and the same options"
            )


def check_splits(photos: PhotoSource) -> None:
    """Refuse a folder whose subfolders are the parts of a data set.

    Raises:
        DataError: they are; says which folder to give.
    """
    names = {name.lower() for name in photos.classes}
    if names and names <= SPLITS and hasattr(photos, "paths"):
        held_out = next((name for name in photos.classes if name.lower() not in ("train", "training")), "val")
        raise DataError(
            f"{photos.name}: its subfolders ({', '.join(photos.classes)}) are parts of a data set, not classes; give "
            f"{photos.name.rstrip('/')}/{held_out}"
        )
