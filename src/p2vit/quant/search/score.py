"""Score of a candidate: SQNR of the feature on calibration photos that were not used to quantize."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.engine.registry import fastest
from p2vit.models.canonical import CanonicalViT
from p2vit.numerics import Affine
from p2vit.program.graph import IntegerProgram
from p2vit.quant.search.cost import Bits
from p2vit.quant.search.library import Library
from p2vit.quant.sensitivity import sqnr_db
from p2vit.quant.workers import Workers

#: Photos per run of a program.
PHOTOS_AT_ONCE = 8


@dataclass(frozen=True)
class Scorer:
    """Scores candidates by running their integer programs; higher is better.

    Every executor returns the same integers, so a score depends neither on the executor nor on the number of threads.

    Attributes:
        library: Rounded layers.
        pixels: Held-out calibration photos, uint8 [P, H, W, 3].
        exact: Features of the float model for these photos, float32 [P, C].
    """

    library: Library
    pixels: NDArray[np.uint8]
    exact: NDArray[np.float32]

    @staticmethod
    def of(
        model: CanonicalViT, library: Library, pixels: NDArray[np.uint8], threads: int | None = None
    ) -> "Scorer":
        """Run the float model over the photos, and return a scorer."""
        with Workers(threads) as workers:
            # One photo at a time, because the last bits of a product depend on the batch size.
            parts = workers.map(model.features, list(torch.from_numpy(pixels).split(1)))
        return Scorer(library, pixels, torch.cat(parts).numpy())

    def score(self, bits: Bits, threads: int | None = 1) -> float:
        """Return the SQNR of a candidate's feature in dB."""
        return self.sqnr(self.library.compose(bits), threads)

    def noise(self, bits: Bits, threads: int | None = 1) -> float:
        """Return the noise energy of a candidate relative to the signal: 10^(−SQNR/10)."""
        return float(10.0 ** (-self.score(bits, threads) / 10))

    def sqnr(self, program: IntegerProgram, threads: int | None = 1) -> float:
        """Return the SQNR of a program's feature on the held-out photos, in dB."""
        name, spec = program.feature, program.tensors[program.feature]
        ours = [spec.real(stored).reshape(len(stored), -1) for stored in self._run(program, name, threads)]
        return sqnr_db(self.exact, np.concatenate(ours))

    def unrounded(self, bits: Bits, threads: int | None = 1) -> NDArray[np.float64]:
        """Return a candidate's features before they are rounded to 8 bits, without their bias: [P, C].

        Rounding would hide small changes, or enlarge them to one step of the feature's grid.
        """
        program = self.library.compose(bits)
        node = program.node(program.feature)
        assert isinstance(node.operator, Affine)
        source = program.tensors[node.inputs[0]]
        gain = np.ldexp(
            node.operator.gain.astype(np.float64),
            node.operator.accumulator_exponent.astype(np.int32) - source.exponent,
        )
        parts = [source.real(stored) * gain for stored in self._run(program, source.name, threads)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts])

    def _run(self, program: IntegerProgram, tensor: str, threads: int | None) -> Iterator[NDArray]:
        """Run a program on the held-out photos, and yield the stored integers of a tensor, batch by batch."""
        executor = fastest(program, threads)
        for start in range(0, len(self.pixels), PHOTOS_AT_ONCE):
            yield executor.run(self.pixels[start : start + PHOTOS_AT_ONCE], [tensor])[tensor]
