"""Last step of the search: the best candidates are quantized again from scratch, and the best program is chosen."""

from collections.abc import Callable, Sequence

from p2vit.quant.api import QuantizeResult
from p2vit.quant.search.cost import Bits, Budget
from p2vit.quant.search.run import PreparedSearch, SearchResult, uniform

#: One width for all layers is also tried if its score is at most this much below the winner's, in dB. Quantizing again
#: improves it most, because each layer then corrects the errors of the narrow layers before it.
MARGIN_DB = 4.0


def finalists(
    prepared: PreparedSearch, budget: Budget, found: SearchResult, threads: int | None = 1
) -> list[Bits]:
    """Return the widths that the search found, and possibly the widest single width within the budget.

    Args:
        prepared: Preparation of the search.
        budget: Budget of the search.
        found: Result of the search.
        threads: Largest number of threads that score one candidate.
    """
    library = prepared.scorer.library
    mixes: list[Bits] = [found.bits_per_layer]
    for width in reversed(library.widths):
        flat = uniform(library, width)
        if budget.holds(flat):
            score = prepared.scorer.score(flat, threads)
            if flat not in mixes and score > found.sqnr_db - MARGIN_DB:
                mixes.append(flat)
            break
    return mixes


def decide(
    prepared: PreparedSearch,
    mixes: Sequence[Bits],
    make: Callable[[Bits], QuantizeResult],
    threads: int | None = 1,
) -> tuple[int, list[float], QuantizeResult]:
    """Quantize the model with each of several widths, and keep the best program on the held-out photos.

    Args:
        prepared: Preparation of the search.
        mixes: Widths per layer; at least one.
        make: Quantizes the model with widths per layer.
        threads: Largest number of threads that score one program.

    Returns:
        Index of the best, SQNR of each in dB, and the best program; the first of equal ones.
    """
    scores: list[float] = []
    best: QuantizeResult | None = None
    for bits in mixes:
        made = make(bits)
        score = prepared.scorer.sqnr(made.program, threads)
        if best is None or score > max(scores):
            best = made
        scores.append(score)
    assert best is not None
    return scores.index(max(scores)), scores, best
