"""The whole search: library, sensitivities, exact coarse solution, evolution from there."""

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
#: Photos and sign vectors of the Hessian's traces; the estimate's spread is then a few percent.
TRACE_PHOTOS, TRACE_PROBES = 8, 4


@dataclass(frozen=True)
class SearchConfig:
    """How to search.

    Attributes:
        widths: That a layer may have.
        measure: Sensitivity of the coarse step: ``direct``, or ``hessian`` (the paper's).
        coarse: Whether the evolution starts from the coarse solution.
        fine: Whether there is an evolution at all.
        evolution: Its settings.
    """

    widths: tuple[int, ...] = (4, 8)
    measure: Measure = "direct"
    coarse: bool = True
    fine: bool = True
    evolution: Evolution = field(default_factory=Evolution)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        bits_per_layer: Layer → width.
        cost: Of that, in the budget's unit.
        sqnr_db: Its score: feature SQNR on the held-out calibration photos, composed from the library.
        candidates: How many were scored.
        seconds: Minutes spent, by stage, in seconds.
    """

    bits_per_layer: dict[str, int]
    cost: float
    sqnr_db: float
    candidates: int
    seconds: dict[str, float]


@dataclass
class PreparedSearch:
    """What does not depend on the budget; one preparation serves many searches.

    Attributes:
        model: Float.
        scorer: With the library and the held-out photos.
        seed: Draws the Hessian's sign vectors.
        seconds: Time of each stage so far.
    """

    model: FloatModel
    scorer: Scorer
    seed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    _tables: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)

    def sensitivity(
        self, measure: Measure, threads: int | None = None, progress: Progress = silent
    ) -> Sensitivity:
        """Table of a measure, computed once."""
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
        """Add a stage's time to ``seconds``."""
        return _Timed(self.seconds, stage)


class _Timed:
    """Adds wall time to an entry of a table."""

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
    """Round every layer at every width and get the scorer ready.

    Args:
        model: Float.
        calibration: Photos to quantize on, uint8 [P, H, W, 3].
        held_out: Calibration photos to score on; none of the above. Labels are never looked at.
        method: How to quantize; its widths are ignored.
        widths: That a layer may have.
        seed: Draws the Hessian's sign vectors.
        threads: Workers.
        progress: Called with (stage, done, total).

    Raises:
        DataError: too few photos.
        P2vitError: a width is not allowed.
    """
    if not len(calibration) or not len(held_out):
        raise DataError(
            f"a search needs photos to calibrate on and others to score on; it got {len(calibration)} and "
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
        prepared: From :func:`prepare`, with the widths of ``config``.
        budget: The limit.
        config: How to search.
        log: JSON lines of every candidate; a search that was killed continues from it and ends with the same
            bytes.
        overwrite: Start the log anew.
        threads: Threads that score one candidate, where this process does it.
        pool: Who scores candidates; this process, one after the other, if None.
        progress: Called with (stage, done, total).

    Raises:
        BudgetError: nothing fits the budget.
        P2vitError: the log is of another search.
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
        # A sum of sensitivities may be mistaken; so no result is worse than the widest width for all that fits.
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
    """Scores a genome; an object, so that it can be sent to another process."""

    scorer: Scorer
    space: Space
    threads: int | None

    def __call__(self, item: Genome, /) -> float:
        return self.scorer.score(self.space.bits(item), self.threads)


def _settings(prepared: PreparedSearch, budget: Budget, config: SearchConfig) -> dict[str, Any]:
    """What a log's scores depend on; how the work is shared out is none of it."""
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
    """Hash of every rounded layer, hexadecimal."""
    digest = hashlib.sha256()
    for (name, width), layer in sorted(library.rounded.items()):
        digest.update(f"{name} {width}\n".encode())
        for array in (layer.weight, layer.bias, layer.shift):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _sha256(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def uniform(library: Library, width: int) -> Bits:
    """Every layer at one width."""
    return {layer.name: width for layer in library.layers}
