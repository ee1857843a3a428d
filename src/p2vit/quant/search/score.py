"""How good a candidate is: feature SQNR on calibration photos that did not take part in quantizing."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.search.cost import Bits
from p2vit.quant.search.library import Library
from p2vit.quant.sensitivity import sqnr_db
from p2vit.quant.simulated import QuantizedViT
from p2vit.quant.workers import Workers

#: Photos per task; fixed, so that scores do not depend on the number of threads.
PHOTOS_AT_ONCE = 4


@dataclass(frozen=True)
class Scorer:
    """Scores candidates; higher is better.

    Attributes:
        library: What candidates are composed of.
        pixels: Held-out calibration photos, uint8 [P, H, W, 3].
        exact: The float model's features of them, float32 [P, C].
    """

    library: Library
    pixels: NDArray[np.uint8]
    exact: Tensor

    @staticmethod
    def of(
        model: CanonicalViT, library: Library, pixels: NDArray[np.uint8], threads: int | None = None
    ) -> "Scorer":
        """Run the float model over the photos."""
        with Workers(threads) as workers:
            parts = workers.map(model.features, list(torch.from_numpy(pixels).split(PHOTOS_AT_ONCE)))
        return Scorer(library, pixels, torch.cat(parts))

    def score(self, bits: Bits, threads: int | None = 1) -> float:
        """SQNR of the feature in dB, before it is brought to its own 8-bit grid."""
        return sqnr_db(self.exact, self.features(self.library.compose(bits), threads))

    def features(self, model: QuantizedViT, threads: int | None) -> Tensor:
        """Features of the photos, float32 [P, C], the feature's own grid left out."""

        def run(photos: Tensor) -> Tensor:
            x = model.embed(photos)
            for block in model.blocks:
                x = block(x)
            return model.pool(x)

        with Workers(threads) as workers:
            return torch.cat(workers.map(run, list(torch.from_numpy(self.pixels).split(PHOTOS_AT_ONCE))))

    def noise(self, bits: Bits, threads: int | None = 1) -> float:
        """Noise energy relative to the signal's: 10^(−SQNR/10)."""
        return float(10.0 ** (-self.score(bits, threads) / 10))
