"""Direct sensitivity: the error of the feature when a single layer has a narrower width."""

import numpy as np

from p2vit.errors import DataError
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.score import Scorer


def direct_sensitivity(
    scorer: Scorer, threads: int | None = None, progress: Progress = silent
) -> dict[str, dict[int, float]]:
    """Measure the error that each layer adds at each width, relative to the program of the widest width.

    Errors of different layers are nearly uncorrelated, so their energies add up.

    Args:
        scorer: Library, held-out photos and their float features.
        threads: Largest number of threads of the engine.
        progress: Called with (stage, done, total).

    Returns:
        Layer name → width → Σ(error²)/Σ(feature²); 0 at the widest width.

    Raises:
        DataError: All features are zero.
    """
    library = scorer.library
    reference = scorer.unrounded({}, threads)
    signal = np.square(scorer.exact.astype(np.float64)).sum()
    if signal == 0:
        raise DataError("all features of the held-out photos are zero. Check whether the photos are blank")
    tasks = [(layer.name, width) for layer in library.layers for width in library.widths[:-1]]
    table = {layer.name: dict.fromkeys(library.widths, 0.0) for layer in library.layers}
    for done, (name, width) in enumerate(tasks):
        progress("sensitivity", done, len(tasks))
        error = scorer.unrounded({name: width}, threads) - reference
        table[name][width] = float(np.square(error).sum() / signal)
    progress("sensitivity", len(tasks), len(tasks))
    return table
