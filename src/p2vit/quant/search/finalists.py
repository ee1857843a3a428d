"""The last word: mixes are quantized anew, and the best program wins."""

from collections.abc import Callable, Sequence

from p2vit.quant.api import QuantizeResult
from p2vit.quant.search.cost import Bits, Budget
from p2vit.quant.search.run import PreparedSearch, SearchResult, uniform

#: How much worse than the winner, in dB, one width for all may look and still be tried: layers that are rounded
#: towards the float stream, each given its true predecessors, gain most where all are narrow.
MARGIN_DB = 4.0


def finalists(
    prepared: PreparedSearch, budget: Budget, found: SearchResult, threads: int | None = 1
) -> list[Bits]:
    """The mix found, and the widest width for all that fits where that may be better.

    Args:
        prepared: Of the search.
        budget: Of the search.
        found: Its result.
        threads: Of the scorer.
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
    """Quantize every finalist and keep the best on the photos held out; of equals the first.

    Args:
        prepared: Of the search.
        mixes: At least one.
        make: Quantizes the model with these widths.
        threads: Of the scorer.

    Returns:
        (place of the winner, SQNR of each in dB, the winner).
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
