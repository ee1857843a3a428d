"""Rows as beats of the LayerNorm module: three passes over each row, golden model and samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.hdl.modules.base import Fields, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import EPSILON_BITS, EPSILON_SHIFTS, SHIFTS


class LayerNormRows(RequantizingModule):
    """Golden model and beats of the LayerNorm module.

    Attributes:
        channels: Number of channels C.
        input_bits: Width that an aligned input saturates to.
        table: Table of reciprocal roots.
        beats: Beats per row and pass.
    """

    channels: int
    input_bits: int
    table: NDArray[np.integer[Any]]
    beats: int

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute :class:`p2vit.numerics.LayerNorm` on groups of rows with equal parameters."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        side = {name: np.asarray(value, np.int64) for name, value in inputs["shifts"].items()}
        rows = len(i["last"]) // (3 * self.beats)

        def row_of(values: NDArray[np.int64], passes: int) -> NDArray[np.int64]:
            return values.reshape(rows, passes, -1)[:, 0, : self.channels]

        x, left = row_of(i["x"], 3), row_of(i["left"], 3)
        shift = row_of(side["shift"], 1)
        epsilon, epsilon_shift = (i[name].reshape(rows, -1)[:, 0] for name in ("epsilon", "epsilon_shift"))
        parameters = np.concatenate([left, shift, epsilon[:, None], epsilon_shift[:, None]], axis=1)
        y = np.zeros((rows, self.beats * self.lanes), np.int64)
        _, kinds = np.unique(parameters, axis=0, return_inverse=True)
        kinds = kinds.ravel()
        for kind in range(kinds.max(initial=-1) + 1):
            which = np.flatnonzero(kinds == kind)
            one = which[0]
            reference = LayerNorm(
                self.channels,
                left[one],
                self.table,
                shift[one],
                int(epsilon[one]),
                int(epsilon_shift[one]),
                self.input_bits,
                self.output_bits,
            )
            y[which, : self.channels] = reference.compute(x[which][None])[0]
        last = np.zeros((rows, self.beats), np.int64)
        last[:, -1] = 1
        return self.golden({**side, "last": last.ravel()}, y.reshape(rows * self.beats, self.lanes))

    def specified(self, stream: str, field: str, outputs: Streams) -> NDArray[np.bool_] | None:
        """Return a mask without the lanes beyond C, which are undefined."""
        if field != "y":
            return None
        alive = np.arange(self.beats * self.lanes) < self.channels
        rows = len(outputs[stream]["last"]) // self.beats
        return np.tile(alive.reshape(self.beats, self.lanes), (rows, 1))

    def row_beats(
        self,
        x: NDArray[np.integer[Any]],
        left: NDArray[np.integer[Any]],
        shift: NDArray[np.integer[Any]],
        epsilon: int,
        epsilon_shift: int,
    ) -> Streams:
        """Make the beats of three passes over each row.

        Args:
            x: int16 [rows, C].
            left: ``input_shift`` of the operator, [C].
            shift: ``shift`` of the operator, [C].
            epsilon: ``epsilon`` of the operator.
            epsilon_shift: ``epsilon_shift`` of the operator.
        """
        rows, room = len(x), self.beats * self.lanes

        def padded(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
            wide = np.zeros((*values.shape[:-1], room), np.int64)
            wide[..., : self.channels] = values
            return wide

        passes = np.repeat(padded(x)[:, None], 3, axis=1).reshape(-1, self.lanes)
        count = len(passes)
        last = np.zeros((rows * 3, self.beats), np.int64)
        last[:, -1] = 1
        return {
            "i": {
                "x": passes,
                "left": np.tile(padded(left).reshape(self.beats, self.lanes), (rows * 3, 1)),
                "epsilon": np.full(count, epsilon),
                "epsilon_shift": np.full(count, epsilon_shift),
                "last": last.ravel(),
            },
            "shifts": {"shift": np.tile(padded(shift).reshape(self.beats, self.lanes), (rows, 1))},
        }

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make rows with small, constant and extreme values and with outliers, for several sets of parameters."""
        parts = []
        count = 0
        while count < beats:
            rows = int(rng.integers(1, 6))
            x = corners(rng, 16, (rows, self.channels)) >> rng.integers(0, 16, (rows, 1))
            x = x + (rng.integers(-(1 << 14), 1 << 14, (rows, 1)) >> rng.integers(0, 15, (rows, 1)))
            alike = rng.integers(0, 6, (rows, 1)) == 0
            x = np.clip(np.where(alike, x[:, :1], x), -(1 << 15), (1 << 15) - 1)
            left = (
                rng.integers(0, 16, self.channels)
                if rng.integers(0, 2)
                else np.zeros(self.channels, np.int64)
            )
            epsilon = (
                int(corners(rng, EPSILON_BITS, (1,), signed=False)[0])
                if rng.integers(0, 4)
                else 1 << EPSILON_BITS
            )
            part = self.row_beats(
                x,
                left,
                rng.integers(SHIFTS[0], SHIFTS[1] + 1, self.channels),
                epsilon,
                int(rng.integers(EPSILON_SHIFTS[0], EPSILON_SHIFTS[1] + 1)),
            )
            if self.output_bits > 8:
                part["shifts"]["narrow"] = rng.integers(0, 2, len(part["shifts"]["shift"]))
            parts.append(part)
            count += len(part["i"]["last"])
        return {
            stream: {
                name: np.concatenate([part[stream][name] for part in parts]) for name in parts[0][stream]
            }
            for stream in parts[0]
        }
