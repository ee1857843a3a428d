"""Direct sensitivity: the feature's error when one layer alone has a narrower width."""

import numpy as np
import torch
from torch import Tensor

from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.score import PHOTOS_AT_ONCE, Scorer
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.workers import Workers


def direct_sensitivity(
    scorer: Scorer, threads: int | None = None, progress: Progress = silent
) -> dict[str, dict[int, float]]:
    """Noise that each layer adds at each width: relative error energy of the feature against the widest
    model's.

    A layer's block is entered with the stream of the widest model, which is computed once, so a layer costs
    only what comes after it. Errors of different layers are nearly uncorrelated; so these add up.

    Args:
        scorer: Library, held-out photos and their float features.
        threads: Workers.
        progress: Called with (stage, done, total).

    Returns:
        Layer → width → Σ(error²)/Σ(feature²); 0 at the widest width.
    """
    library = scorer.library
    batches = list(torch.from_numpy(scorer.pixels).split(PHOTOS_AT_ONCE))
    model, signal = library.model, float((scorer.exact.double() ** 2).sum())
    table: dict[str, dict[int, float]] = {layer.name: {} for layer in library.layers}

    def enter(photos: Tensor) -> Tensor:
        return model.embed(photos)

    def after(blocks: list[QuantizedBlock], x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x)
        return model.pool(x)

    with Workers(threads) as workers:
        streams = workers.map(enter, batches)
        reference: list[Tensor] | None = None
        for index, block in enumerate(model.blocks):
            progress("sensitivity", index, len(model.blocks))
            if reference is None:
                reference = workers.map(lambda x: after(model.blocks, x), streams)
            mine = [layer for layer in library.layers if layer.block == index]
            tasks = [(layer, width) for layer in mine for width in library.widths[:-1]]
            for layer, width in tasks:
                blocks = library.compose({layer.name: width}).blocks[index:]
                outputs = workers.map(lambda x, blocks=blocks: after(blocks, x), streams)  # type: ignore[misc]
                pairs = zip(outputs, reference, strict=True)
                table[layer.name][width] = (
                    float(sum(((a - b).double() ** 2).sum() for a, b in pairs)) / signal
                )
            for layer in mine:
                table[layer.name][library.widths[-1]] = 0.0
            streams = workers.map(block, streams)
        progress("sensitivity", len(model.blocks), len(model.blocks))
    if not all(np.isfinite(value) for row in table.values() for value in row.values()):
        raise ValueError("a direct sensitivity is not finite; are the photos blank?")
    return table
