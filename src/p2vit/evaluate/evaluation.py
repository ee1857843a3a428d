"""An evaluation from photos to figures, by one process or by several that share the batches."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.data.class_index import ClassIndex
from p2vit.data.loader import Batch, load_batches
from p2vit.data.source import PhotoSource
from p2vit.errors import DataError, P2vitError, some
from p2vit.evaluate.accuracy import Accuracy, Progress, collect, summarise
from p2vit.evaluate.differences import most_different
from p2vit.evaluate.features import FeatureAccuracy, judge, judge_maps
from p2vit.evaluate.labels import label_map
from p2vit.evaluate.neighbours import TEMPERATURE, Gallery, K
from p2vit.evaluate.records import Predict, Records, join
from p2vit.evaluate.world import World
from p2vit.program.graph import IntegerProgram

#: Number of photos whose neighbours are searched at once.
QUERIES = 512
#: Names of subfolders that are parts of a data set, not classes.
SPLITS = {"train", "training", "val", "valid", "validation", "test"}


@dataclass(frozen=True)
class Job:
    """What to evaluate, and how the work is divided. The figures do not depend on the division.

    Attributes:
        program: The program.
        predict: Function that runs the program.
        exact: Function that runs the float model, or None.
        batch_size: Number of photos per batch.
        workers: Number of threads that read photos in advance.
        threads: Number of batches that run in parallel.
        prepare: Called once in every thread that computes.
        world: The processes of the run.
        progress: Called with (stage, done, total).
        elsewhere: Function that runs shares of the photos on a cluster, see `Share`. None: the processes of ``world``
            run them.
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
    elsewhere: "Elsewhere | None" = None

    def batches(self, photos: PhotoSource, order: NDArray[np.int64]) -> Any:
        """Return this process's share of the batches."""
        share = (self.world.rank, self.world.size)
        return load_batches(photos, order, self.batch_size, workers=self.workers, share=share)

    @property
    def outputs(self) -> int:
        """Number of outputs; 0 without a head."""
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
    """Measure a program. In a run of several processes each of them must call this function.

    Args:
        job: What to evaluate, and how.
        photos: The photos.
        limit: Use only the first photos, this many; None for all.
        index: Names of the outputs, from a class-index file.
        feature: Also measure the features.
        gallery: Labelled photos for k-NN, and the indices of those to use.
        k: Number of neighbours.

    Returns:
        (accuracy, figures of the features or None, (position, path, reason) of each photo that could not be read). All
        processes return the same.

    Raises:
        DataError: No photo could be read, or the labels do not match the model.
        OtherProcessError: Another process failed.
    """
    order = photos.order(limit)
    check_splits(photos)
    numbered, listed = getattr(photos, "numbered", False), getattr(photos, "listed", False)
    label_of, note = None, ""
    if job.outputs:
        label_of, note = label_map(
            photos.classes, job.program.classes, job.outputs, numbered=numbered, listed=listed, index=index
        )
    agree(job, [(photos, order), *([gallery] if gallery else [])])
    notes = [*getattr(photos, "notes", []), *([note] if note else [])]
    galleries: list[Gallery | None] = [None, None]
    if gallery is not None:
        galleries = fill(job, *gallery, k)
    records, skipped = run(job, photos, order, galleries)
    if not len(records):
        reasons = some([reason for _, _, reason in skipped], most=2)
        raise DataError(f"{photos.name}: none of the {len(order)} photos could be read: {reasons}")
    accuracy = summarise(records, label_of, photos.classes, job.program.classes, job.outputs, notes)
    differences = most_different(records, order, photos, accuracy.classes)
    accuracy = accuracy.model_copy(update={"most_different": differences})
    if not feature:
        return accuracy, None, skipped
    figures, more = judge(records, galleries, None if gallery is None else gallery[0], photos.classes)
    figures = figures.model_copy(update={"maps": judge_maps(records, job.program)})
    return accuracy.model_copy(update={"notes": [*accuracy.notes, *more]}), figures, skipped


def run(
    job: Job, photos: PhotoSource, order: NDArray[np.int64], galleries: Sequence[Gallery | None]
) -> tuple[Records, list[tuple[int, str, str]]]:
    """Run this process's share of the photos, and join the shares of all processes."""
    own, skipped = own_share(job, photos, order, "evaluate", keep=galleries[0] is not None)
    own = replace(
        own,
        voted=_votes(galleries[0], own.features),
        voted_float=_votes(galleries[1], own.features_float),
        features=None,
        features_float=None,
    )
    shares = job.world.gather((own, skipped))
    job.progress("evaluate", len(order), len(order))
    return join([records for records, _ in shares]), sorted(row for _, rows in shares for row in rows)


def fill(job: Job, photos: PhotoSource, order: NDArray[np.int64], k: int) -> list[Gallery | None]:
    """Return the galleries of the program's and of the float model's features; the same in every process."""
    own, _ = own_share(job, photos, order, "gallery", keep=True)
    found = join(job.world.gather(own))
    if found.features is None or not len(found):
        raise DataError(f"{photos.name}: none of the gallery's {len(order)} photos could be read")
    return [
        None if features is None else Gallery(features, found.labels, k, TEMPERATURE)
        for features in (found.features, found.features_float)
    ]


@dataclass(frozen=True)
class Share:
    """A part of the photos that one task runs.

    Attributes:
        photos: All photos.
        order: Indices of the photos to run, in order, int64.
        keep: Whether features are kept.
        which: Index of this share, from 0.
        of: Number of shares.
    """

    photos: PhotoSource
    order: NDArray[np.int64]
    keep: bool
    which: int
    of: int


#: Function from shares to their results, in order: (records, photos that could not be read).
Elsewhere = Callable[[Sequence[Share]], Iterator[tuple[Records, list[tuple[int, str, str]]]]]
#: Approximate number of batches per share. Few batches show progress often, and make a lost worker cheap.
BATCHES_PER_SHARE = 4


def own_share(
    job: Job, photos: PhotoSource, order: NDArray[np.int64], stage: str, keep: bool
) -> tuple[Records, list[tuple[int, str, str]]]:
    """Run this process's share, or all shares on the cluster of ``job.elsewhere``.

    Returns:
        (one record per photo, (position, path, reason) of each photo that could not be read).

    Raises:
        OtherProcessError: Another process failed.
    """
    if job.elsewhere is None:
        return share_of(job, photos, order, stage, keep)
    count = max(1, -(-len(order) // (job.batch_size * BATCHES_PER_SHARE)))
    shares = [Share(photos, order, keep, which, count) for which in range(count)]
    records, skipped = [], []
    job.progress(stage, 0, len(order))
    for done, (found, left) in enumerate(job.elsewhere(shares), start=1):
        records.append(found)
        skipped += left
        job.progress(stage, len(order) * done // count, len(order))
    return join(records), skipped


def share_of(
    job: Job, photos: PhotoSource, order: NDArray[np.int64], stage: str, keep: bool
) -> tuple[Records, list[tuple[int, str, str]]]:
    """Run this process's share of the photos.

    Returns:
        (one record per photo, (position, path, reason) of each photo that could not be read).

    Raises:
        OtherProcessError: Another process failed.
    """
    skipped: list[tuple[int, str, str]] = []

    def done(batch: Batch) -> None:
        skipped.extend(batch.skipped)
        job.world.check()
        seen = job.world.advance(stage, len(batch.places) + len(batch.skipped))
        job.progress(stage, min(seen, len(order)), len(order))

    job.progress(stage, 0, len(order))
    records = collect(
        job.predict,
        job.exact,
        job.batches(photos, order),
        has_head=bool(job.outputs),
        keep=keep,
        workers=job.threads,
        prepare=job.prepare,
        done=done,
    )
    return records, skipped


def _votes(gallery: Gallery | None, features: NDArray[np.float32] | None) -> NDArray[np.int64] | None:
    """Return the gallery's votes, computed in parts because the matrix of all similarities is too large."""
    if gallery is None or features is None:
        return None
    parts = [gallery.vote(features[start : start + QUERIES]) for start in range(0, len(features), QUERIES)]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def agree(job: Job, sets: Sequence[tuple[PhotoSource, NDArray[np.int64]]]) -> None:
    """Check that all processes have the same photos and the same program.

    Args:
        job: What to evaluate.
        sets: Every set of photos, and the indices of the photos to run.

    Raises:
        P2vitError: The processes have different photos, labels, programs, batch sizes or float models.
    """
    world = job.world
    if world.size == 1:
        return
    from p2vit.program.format import program_sha256

    digest = hashlib.sha256()
    for photos, order in sets:
        digest.update(
            "\n".join(photos.title(number) for number in order.tolist()).encode(errors="surrogatepass")
        )
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
    """Check that the subfolders of a folder are classes, not parts of a data set such as ``train`` and ``val``.

    Raises:
        DataError: They are parts of a data set; the message says which folder to give.
    """
    names = {name.lower() for name in photos.classes}
    if names and names <= SPLITS and hasattr(photos, "paths"):
        held_out = next((name for name in photos.classes if name.lower() not in ("train", "training")), "val")
        raise DataError(
            f"{photos.name}: its subfolders ({', '.join(photos.classes)}) are parts of a data set, not classes; give "
            f"{photos.name.rstrip('/')}/{held_out}"
        )
