"""How good a candidate is: feature SQNR on calibration photos that did not take part in quantizing."""

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

#: Photos in one run of a program.
PHOTOS_AT_ONCE = 8


@dataclass(frozen=True)
class Scorer:
    """Scores candidates as the integer programs they are; higher is better.

    Integers are the same on every executor, so scores depend neither on it nor on the number of threads.

    Attributes:
        library: What candidates are composed of.
        pixels: Held-out calibration photos, uint8 [P, H, W, 3].
        exact: The float model's features of them, float32 [P, C].
    """

    library: Library
    pixels: NDArray[np.uint8]
    exact: NDArray[np.float32]

    @staticmethod
    def of(
        model: CanonicalViT, library: Library, pixels: NDArray[np.uint8], threads: int | None = None
    ) -> "Scorer":
        """Run the float model over the photos."""
        with Workers(threads) as workers:
            # One by one: a product's last bits depend on how many photos share it.
            parts = workers.map(model.features, list(torch.from_numpy(pixels).split(1)))
        return Scorer(library, pixels, torch.cat(parts).numpy())

    def score(self, bits: Bits, threads: int | None = 1) -> float:
        """SQNR of a candidate's feature in dB."""
        return self.sqnr(self.library.compose(bits), threads)

    def noise(self, bits: Bits, threads: int | None = 1) -> float:
        """Noise energy relative to the signal's: 10^(−SQNR/10)."""
        return float(10.0 ** (-self.score(bits, threads) / 10))

    def sqnr(self, program: IntegerProgram, threads: int | None = 1) -> float:
        """SQNR of any program's feature on these photos, in dB."""
        name, spec = program.feature, program.tensors[program.feature]
        ours = [spec.real(stored).reshape(len(stored), -1) for stored in self._run(program, name, threads)]
        return sqnr_db(self.exact, np.concatenate(ours))

    def unrounded(self, bits: Bits, threads: int | None = 1) -> NDArray[np.float64]:
        """A candidate's features before they are rounded to their own 8 bits, and without their bias: [P, C].

        Small changes show here that vanish in, or are blown up to, a step of the feature.
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
        """Integers of a tensor, batch by batch."""
        executor = fastest(program, threads)
        for start in range(0, len(self.pixels), PHOTOS_AT_ONCE):
            yield executor.run(self.pixels[start : start + PHOTOS_AT_ONCE], [tensor])[tensor]
