"""Direct sensitivity: the feature's error when one layer alone has a narrower width."""

import numpy as np

from p2vit.errors import DataError
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.score import Scorer


def direct_sensitivity(
    scorer: Scorer, threads: int | None = None, progress: Progress = silent
) -> dict[str, dict[int, float]]:
    """Noise that each layer adds at each width: relative error energy of the feature against the widest
    program's.

    Errors of different layers are nearly uncorrelated; so these add up.

    Args:
        scorer: Library, held-out photos and their float features.
        threads: Bound of the engine's.
        progress: Called with (stage, done, total).

    Returns:
        Layer → width → Σ(error²)/Σ(feature²); 0 at the widest width.

    Raises:
        DataError: the features are all zero.
    """
    library = scorer.library
    reference = scorer.unrounded({}, threads)
    signal = np.square(scorer.exact.astype(np.float64)).sum()
    if signal == 0:
        raise DataError("the features of the photos held out are all zero; are the photos blank?")
    tasks = [(layer.name, width) for layer in library.layers for width in library.widths[:-1]]
    table = {layer.name: dict.fromkeys(library.widths, 0.0) for layer in library.layers}
    for done, (name, width) in enumerate(tasks):
        progress("sensitivity", done, len(tasks))
        error = scorer.unrounded({name: width}, threads) - reference
        table[name][width] = float(np.square(error).sum() / signal)
    progress("sensitivity", len(tasks), len(tasks))
    return table
