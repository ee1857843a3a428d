"""Whether back-ends compute the same integers: every tensor that both expose, number by number.

A back-end that makes another plan for every set of tensors that are asked for is asked for random sets as well: what
is right when everything is kept need not be right when a few tensors are.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.program.graph import IntegerProgram

Progress = Callable[[str, int, int], None]

#: Random sets of tensors that a back-end is asked for with each batch.
SUBSETS = 4


class Mismatch(BaseModel):
    """A tensor that differs, and the first number of it that does."""

    model_config = ConfigDict(frozen=True)

    tensor: str = Field(description="name of the tensor")
    backend: str = Field(description="who differs from the first back-end")
    index: list[int] = Field(description="image, then the place in the tensor; empty where shapes differ")
    expected: int | str = Field(description="what the first back-end has there")
    actual: int | str = Field(description="what this one has")
    differing: int = Field(description="numbers that differ, over all images")


class Comparison(BaseModel):
    """Result of `compare`."""

    model_config = ConfigDict(frozen=True)

    backends: list[str] = Field(description="who was compared; all with the first")
    images: int = Field(description="photos that all of them ran")
    tensors_compared: int = Field(description="tensors that were compared, summed over the other back-ends")
    values_compared: int = Field(description="numbers in them, over all images")
    mismatches: int = Field(description="tensors that differ, summed over the other back-ends")
    tensors_per_backend: dict[str, int] = Field(description="tensors that each back-end exposes")
    subsets_compared: int = Field(
        description="random sets of tensors that were asked for besides all of them, over batches and back-ends"
    )
    subset_mismatches: int = Field(
        description="of the tensors that differ, those that do so only when others are not asked for"
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
    """Run the same photos everywhere and compare all tensors with those of the first back-end.

    Args:
        program: What they run.
        executors: Name → executor; at least two, the first one is what the others are compared with.
        batches: uint8 [B, H, W, 3].
        total: Photos, for the progress.
        progress: Called with ("verify", done, total).
        subsets: Random sets of tensors that are asked for with each batch, of every executor whose
            ``plans_by_keep`` is true; with the first batch only, and one, where ``plans_are_costly``.
        seed: Of the sets.

    Returns:
        What was found.
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
    """How many random sets an executor is asked for with a batch; of costly plans, one in all."""
    if not getattr(executor, "plans_by_keep", False):
        return 0
    if getattr(executor, "plans_are_costly", False):
        return min(subsets, int(first_batch))
    return subsets


def draw(names: list[str], rng: np.random.Generator) -> list[str]:
    """A random set of names: one, a few, or about half of them, equally often."""
    most = int(rng.choice([1, 4, max(len(names) // 2, 1)]))
    count = min(int(rng.integers(1, most + 1)), len(names))
    return [str(name) for name in rng.choice(names, count, replace=False)]


def note(found: dict[tuple[str, str], Mismatch], mismatch: Mismatch) -> None:
    """Remember the first number of a tensor that differs, and how many do in all."""
    key = (mismatch.backend, mismatch.tensor)
    before = found.get(key)
    more = mismatch.differing + (before.differing if before else 0)
    found[key] = (before or mismatch).model_copy(update={"differing": more})


def first_difference(
    tensor: str, backend: str, expected: NDArray[Any], actual: NDArray[Any], offset: int
) -> Mismatch | None:
    """The first number that differs, or None.

    Args:
        tensor: Its name.
        backend: Who made ``actual``.
        expected: Integers [B, ...].
        actual: The same from the other back-end.
        offset: Photos in earlier batches.
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
