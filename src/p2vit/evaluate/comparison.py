"""Compare back-ends: every tensor that both expose, number by number.

Some back-ends make a different execution plan for each set of requested tensors. Such a back-end is also asked for
random sets, because a plan that keeps all tensors does not test the plans that keep a few.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.program.graph import IntegerProgram

Progress = Callable[[str, int, int], None]

#: Number of random sets of tensors that a back-end is asked for with each batch.
SUBSETS = 4


class Mismatch(BaseModel):
    """A tensor that differs, with its first differing number."""

    model_config = ConfigDict(frozen=True)

    tensor: str = Field(description="name of the tensor")
    backend: str = Field(description="back-end that differs from the first one")
    index: list[int] = Field(description="photo, then the index in the tensor; empty if the shapes differ")
    expected: int | str = Field(description="number of the first back-end")
    actual: int | str = Field(description="number of this back-end")
    differing: int = Field(description="numbers that differ, over all photos")


class Comparison(BaseModel):
    """Result of `compare`."""

    model_config = ConfigDict(frozen=True)

    backends: list[str] = Field(description="back-ends; each is compared with the first one")
    images: int = Field(description="photos that each back-end ran")
    tensors_compared: int = Field(description="tensors that were compared, summed over the other back-ends")
    values_compared: int = Field(description="numbers in these tensors, over all photos")
    mismatches: int = Field(description="tensors that differ, summed over the other back-ends")
    tensors_per_backend: dict[str, int] = Field(description="tensors that each back-end exposes")
    subsets_compared: int = Field(
        description="random sets of tensors that were requested in addition to all tensors, over batches and back-ends"
    )
    subset_mismatches: int = Field(
        description="tensors that differ only when some other tensors are not requested"
    )
    first_mismatches: list[Mismatch] = Field(description="one row per tensor that differs")


def compare(
    program: IntegerProgram,
    executors: dict[str, Any],
    batches: Iterable[NDArray[np.uint8]],
    total: int,
    progress: Progress = lambda stage, done, total: None,
    *,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> Comparison:
    """Run the same photos on all back-ends, and compare all tensors with those of the first one.

    Args:
        program: The program.
        executors: Name → executor, at least two. The others are compared with the first one.
        batches: Photos, uint8 [B, H, W, 3].
        total: Number of photos, for the progress.
        progress: Called with ("verify", done, total).
        subsets: Number of random sets of tensors to request with each batch from every executor with
            ``plans_by_keep``. From an executor with ``plans_are_costly`` one set is requested in total.
        seed: Random seed of the sets.

    Returns:
        Numbers of compared and differing tensors, and the first difference of each.
    """
    names = [node.name for node in program.nodes]
    first, *others = executors
    rng = np.random.default_rng(seed)
    asked = 0
    alone: set[tuple[str, str]] = set()
    seen: dict[str, set[str]] = {name: set() for name in executors}
    found: dict[tuple[str, str], Mismatch] = {}
    compared: set[tuple[str, str]] = set()
    images = values = 0
    progress("verify", 0, total)
    for pixels in batches:
        expected = executors[first].run(pixels, keep=names)
        seen[first] |= set(expected)
        for other in others:
            actual = executors[other].run(pixels, keep=names)
            seen[other] |= set(actual)
            for tensor in names:
                if tensor not in expected or tensor not in actual:
                    continue
                compared.add((other, tensor))
                values += expected[tensor].size
                mismatch = first_difference(tensor, other, expected[tensor], actual[tensor], images)
                if mismatch is not None:
                    note(found, mismatch)
        for name, executor in executors.items():
            count = sets_for(executor, subsets, first_batch=images == 0)
            for _ in range(count):
                asked += 1
                actual = executor.run(pixels, keep=draw(names, rng))
                for tensor in actual.keys() & expected.keys():
                    mismatch = first_difference(tensor, name, expected[tensor], actual[tensor], images)
                    if mismatch is None or ((name, tensor) in found and (name, tensor) not in alone):
                        continue
                    alone.add((name, tensor))
                    note(found, mismatch)
        images += len(pixels)
        progress("verify", images, max(total, images))
    order = {name: position for position, name in enumerate(names)}
    return Comparison(
        backends=list(executors),
        images=images,
        tensors_compared=len(compared),
        values_compared=values,
        mismatches=len(found),
        tensors_per_backend={name: len(tensors) for name, tensors in seen.items()},
        subsets_compared=asked,
        subset_mismatches=len(alone),
        first_mismatches=sorted(found.values(), key=lambda row: order[row.tensor]),
    )


def sets_for(executor: Any, subsets: int, first_batch: bool) -> int:
    """Return the number of random sets to request from an executor with a batch."""
    if not getattr(executor, "plans_by_keep", False):
        return 0
    if getattr(executor, "plans_are_costly", False):
        return min(subsets, int(first_batch))
    return subsets


def draw(names: list[str], rng: np.random.Generator) -> list[str]:
    """Draw a random set of names: one, a few, or about half of them, with equal probability."""
    most = int(rng.choice([1, 4, max(len(names) // 2, 1)]))
    count = min(int(rng.integers(1, most + 1)), len(names))
    return [str(name) for name in rng.choice(names, count, replace=False)]


def note(found: dict[tuple[str, str], Mismatch], mismatch: Mismatch) -> None:
    """Record the first differing number of a tensor, and count all of them."""
    key = (mismatch.backend, mismatch.tensor)
    before = found.get(key)
    more = mismatch.differing + (before.differing if before else 0)
    found[key] = (before or mismatch).model_copy(update={"differing": more})


def first_difference(
    tensor: str, backend: str, expected: NDArray[Any], actual: NDArray[Any], offset: int
) -> Mismatch | None:
    """Return the first number that differs, or None.

    Args:
        tensor: Name of the tensor.
        backend: Back-end that computed ``actual``.
        expected: Integers of the first back-end, [B, ...].
        actual: Integers of the other back-end, of the same shape.
        offset: Number of photos in earlier batches.
    """
    if actual.dtype.kind not in "iu" or expected.shape != actual.shape:
        wanted, got = (f"{value.dtype} {list(value.shape)}" for value in (expected, actual))
        return Mismatch(
            tensor=tensor,
            backend=backend,
            index=[],
            expected=wanted,
            actual=got,
            differing=int(expected.size),
        )
    different = expected.astype(np.int64) != actual.astype(np.int64)
    count = int(different.sum())
    if not count:
        return None
    place = tuple(int(i) for i in np.argwhere(different)[0])
    return Mismatch(
        tensor=tensor,
        backend=backend,
        index=[place[0] + offset, *place[1:]],
        expected=int(expected[place]),
        actual=int(actual[place]),
        differing=count,
    )
