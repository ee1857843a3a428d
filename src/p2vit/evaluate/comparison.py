"""Whether back-ends compute the same integers: every tensor that both expose, number by number."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from p2vit.program.graph import IntegerProgram

Progress = Callable[[str, int, int], None]


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
    first_mismatches: list[Mismatch] = Field(description="one row per tensor that differs")


def compare(
    program: IntegerProgram,
    executors: dict[str, Any],
    batches: Iterable[NDArray[np.uint8]],
    total: int,
    progress: Progress = lambda stage, done, total: None,
) -> Comparison:
    """Run the same photos everywhere and compare all tensors with those of the first back-end.

    Args:
        program: What they run.
        executors: Name → executor; at least two, the first one is what the others are compared with.
        batches: uint8 [B, H, W, 3].
        total: Photos, for the progress.
        progress: Called with ("verify", done, total).

    Returns:
        What was found.
    """
    names = [node.name for node in program.nodes]
    first, *others = executors
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
                    before = found.get((other, tensor))
                    more = mismatch.differing + (before.differing if before else 0)
                    found[other, tensor] = (before or mismatch).model_copy(update={"differing": more})
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
        first_mismatches=sorted(found.values(), key=lambda row: order[row.tensor]),
    )


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
