"""The whole search: library of rounded layers, sensitivities, coarse step and fine step."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from p2vit.cluster import Pool
from p2vit.errors import DataError
from p2vit.files import one_writer
from p2vit.models.loaded import FloatModel
from p2vit.quant.config import QuantConfig
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.coarse import Sensitivity, check, solve
from p2vit.quant.search.cost import Bits, Budget
from p2vit.quant.search.direct import direct_sensitivity
from p2vit.quant.search.fine import Evolution, evolve
from p2vit.quant.search.hessian import hessian_sensitivity, hessian_traces
from p2vit.quant.search.journal import Genome, Journal
from p2vit.quant.search.library import Library, build_library
from p2vit.quant.search.score import Scorer
from p2vit.quant.search.space import Space

Measure = Literal["direct", "hessian"]
#: Photos and random sign vectors of the Hessian traces; the standard error of the estimate is then a few percent.
TRACE_PHOTOS, TRACE_PROBES = 8, 4


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search.

    Attributes:
        widths: Weight widths that a layer may have, in bits.
        measure: Sensitivity in the coarse step: ``direct``, or ``hessian`` (the paper's).
        coarse: Start the evolution from the coarse solution.
        fine: Run the evolution.
        evolution: Settings of the evolution.
    """

    widths: tuple[int, ...] = (4, 8)
    measure: Measure = "direct"
    coarse: bool = True
    fine: bool = True
    evolution: Evolution = field(default_factory=Evolution)


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        bits_per_layer: Layer name → weight width in bits.
        cost: Cost of these widths, in the budget's unit.
        sqnr_db: SQNR of the feature in dB on the held-out calibration photos, with layers of the library.
        candidates: Number of candidates scored.
        seconds: Wall-clock seconds per stage.
    """

    bits_per_layer: dict[str, int]
    cost: float
    sqnr_db: float
    candidates: int
    seconds: dict[str, float]


@dataclass
class PreparedSearch:
    """The part of a search that does not depend on the budget; it can be used for many searches.

    Attributes:
        model: Float model.
        scorer: Scores candidates; has the library and the held-out photos.
        seed: Random seed of the Hessian's sign vectors.
        seconds: Wall-clock seconds per stage so far.
    """

    model: FloatModel
    scorer: Scorer
    seed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    _tables: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)

    def sensitivity(
        self, measure: Measure, threads: int | None = None, progress: Progress = silent
    ) -> Sensitivity:
        """Return the sensitivities of a measure; they are computed at the first call."""
        if measure not in self._tables:
            with self.timed(measure):
                library = self.scorer.library
                if measure == "direct":
                    self._tables[measure] = direct_sensitivity(self.scorer, threads, progress)
                else:
                    photos = self.scorer.pixels[:TRACE_PHOTOS]
                    traces = hessian_traces(self.model.module, photos, TRACE_PROBES, self.seed, progress)
                    self._tables[measure] = hessian_sensitivity(self.model.module, library, traces)
        return self._tables[measure]

    def timed(self, stage: str) -> "_Timed":
        """Return a context manager that adds the wall-clock time of its block to ``seconds``."""
        return _Timed(self.seconds, stage)


class _Timed:
    """Adds the wall-clock seconds of a ``with`` block to an entry of a table."""

    def __init__(self, table: dict[str, float], stage: str) -> None:
        self.table, self.stage = table, stage

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.table[self.stage] = self.table.get(self.stage, 0.0) + time.perf_counter() - self.start


def prepare(
    model: FloatModel,
    calibration: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    method: QuantConfig,
    widths: Sequence[int],
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = silent,
) -> PreparedSearch:
    """Round every layer at every width, and compute the float features that candidates are compared with.

    Args:
        model: Float model.
        calibration: Photos for calibration, uint8 [P, H, W, 3].
        held_out: Other calibration photos, on which candidates are scored. No labels are used.
        method: Method of quantization; its weight widths are ignored.
        widths: Weight widths that a layer may have, in bits.
        seed: Random seed of the Hessian's sign vectors.
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
        progress: Called with (stage, done, total).

    Raises:
        DataError: There are too few photos.
        P2vitError: A width is not allowed.
    """
    if not len(calibration) or not len(held_out):
        raise DataError(
            f"a search needs photos for calibration and other photos for scoring; it got {len(calibration)} and "
            f"{len(held_out)}. Give it at least 2 photos, better 64"
        )
    seconds: dict[str, float] = {}
    with _Timed(seconds, "library"):
        library = build_library(model, [calibration], method, widths, threads, progress)
        scorer = Scorer.of(model.module, library, held_out, threads)
    return PreparedSearch(model, scorer, seed, seconds)


@one_writer("log")
def search(
    prepared: PreparedSearch,
    budget: Budget,
    config: SearchConfig,
    *,
    log: Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    pool: Pool | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Find the widths with the best score within a budget.

    Args:
        prepared: Result of :func:`prepare` for the widths of ``config``.
        budget: Limit on the cost.
        config: Settings of the search.
        log: File for every candidate, as JSON lines. A search that was killed continues from it and ends with the
            same bytes.
        overwrite: Start a new log instead of continuing.
        threads: Number of threads that score one candidate in this process.
        pool: Processes that score candidates. None: this process scores them one after the other.
        progress: Called with (stage, done, total).

    Raises:
        BudgetError: Even the cheapest widths exceed the budget.
        P2vitError: The log is that of another search.
    """
    scorer, library = prepared.scorer, prepared.scorer.library
    free = {layer.name: dict.fromkeys(library.widths, 0.0) for layer in library.layers}
    check(free, budget)
    space = Space(library.layers, library.widths, budget)
    starts: list[Genome] = []
    if config.coarse:
        sensitivity = prepared.sensitivity(config.measure, threads, progress)
        with prepared.timed("coarse"):
            starts.append(space.genome(solve(sensitivity, budget)))
        # The sum of sensitivities is only an estimate. This start makes sure that one width for all is not better.
        flat = [genome for width in library.widths if space.holds(genome := (width,) * len(library.layers))]
        starts += [genome for genome in flat[-1:] if genome not in starts]
    journal = Journal(log, _settings(prepared, budget, config), overwrite)
    alone = pool is None or pool.workers == 1
    evaluate = _Evaluate(scorer, space, threads if alone else 1)

    def evaluate_all(genomes: Sequence[Genome]) -> Iterator[float]:
        return (evaluate(genome) for genome in genomes) if pool is None else pool.map(evaluate, genomes)

    with prepared.timed("fine"):
        if config.fine or not starts:
            best = evolve(space, starts, evaluate_all, journal, config.evolution, progress)
        else:
            best = starts[0]
            if best not in journal.scores:
                journal.add(best, evaluate(best), 0, space.cost(best))
    bits = space.bits(best)
    return SearchResult(
        bits, budget.total(bits), journal.scores[best], len(journal.scores), dict(prepared.seconds)
    )


@dataclass(frozen=True)
class _Evaluate:
    """Scores a genome. An object can be sent to another process, a nested function cannot."""

    scorer: Scorer
    space: Space
    threads: int | None

    def __call__(self, item: Genome, /) -> float:
        return self.scorer.score(self.space.bits(item), self.threads)


def _settings(prepared: PreparedSearch, budget: Budget, config: SearchConfig) -> dict[str, Any]:
    """Return the settings that the scores in a log depend on; the number of processes is none of them."""
    library = prepared.scorer.library
    prices = {
        layer.name: [budget.price.cost(layer.name, w) for w in library.widths] for layer in library.layers
    }
    return {
        "search": 1,
        "model": prepared.model.sha256,
        "library": library_sha256(library),
        "photos": hashlib.sha256(np.ascontiguousarray(prepared.scorer.pixels).tobytes()).hexdigest(),
        "widths": list(library.widths),
        "layers": [layer.name for layer in library.layers],
        "budget": {"name": budget.name, "limit": budget.limit, "prices": _sha256(prices)},
        "measure": config.measure if config.coarse else None,
        "fine": config.fine,
        "evolution": asdict(config.evolution),
    }


def library_sha256(library: Library) -> str:
    """Return the SHA-256 of all rounded layers, in hexadecimal."""
    digest = hashlib.sha256()
    for (name, width), layer in sorted(library.rounded.items()):
        digest.update(f"{name} {width}\n".encode())
        for array in (layer.weight, layer.bias, layer.shift):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _sha256(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def uniform(library: Library, width: int) -> Bits:
    """Assign the same weight width to every layer."""
    return {layer.name: width for layer in library.layers}
