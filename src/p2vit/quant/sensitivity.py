"""Quantization error of each block: its own (local), and that of all blocks so far (cumulative)."""

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.simulated import QuantizedViT
from p2vit.quant.workers import Workers


class BlockError(TypedDict):
    """Signal-to-quantization-noise ratios of a block's output, in dB.

    For ``local_sqnr_db`` the float block and the quantized block read the quantized model's input. For
    ``cumulative_sqnr_db`` each reads the input of its own model.
    """

    name: str
    local_sqnr_db: float
    cumulative_sqnr_db: float


def sqnr_db(exact: Tensor | NDArray, approximate: Tensor | NDArray) -> float:
    """Compute 10·log10(Σ exact² / Σ (exact − approximate)²), in dB; infinite for equal tensors."""
    a, b = np.asarray(exact, np.float64), np.asarray(approximate, np.float64)
    noise = float(((a - b) ** 2).sum())
    return float("inf") if noise == 0 else float(10 * np.log10((a**2).sum() / noise))


def block_errors(
    model: CanonicalViT, quantized: QuantizedViT, pixels: NDArray[np.uint8], threads: int | None
) -> list[BlockError]:
    """Compute the local and the cumulative error of the embedding and of every block.

    Args:
        model: The float model.
        quantized: The quantized model.
        pixels: Photos, uint8 [B, H, W, 3].
        threads: Number of threads; None uses the processor cores of this machine, at most 8.
    """
    names = ["embedding", *(f"blocks.{index}" for index in range(len(quantized.blocks)))]

    def run(photo: Tensor) -> list[list[float]]:
        exact, ours = model.embed(photo), quantized.embed(photo)
        rows = [energies(exact, exact, ours)]
        for block, mine in zip(model.blocks, quantized.blocks, strict=True):
            local, exact, ours = block(ours), block(exact), mine(ours)
            rows.append(energies(local, exact, ours))
        return rows

    with Workers(threads) as workers:
        totals = np.array(workers.map(run, list(torch.from_numpy(pixels).split(1)))).sum(axis=0)
    decibels = 10 * np.log10(totals[:, ::2] / np.maximum(totals[:, 1::2], 1e-300))
    return [
        BlockError(
            name=name, local_sqnr_db=round(float(row[0]), 2), cumulative_sqnr_db=round(float(row[1]), 2)
        )
        for name, row in zip(names, decibels, strict=True)
    ]


def energies(local: Tensor, exact: Tensor, ours: Tensor) -> list[float]:
    """Return the energies of the local signal, local noise, cumulative signal and cumulative noise."""
    return [
        float((local.double() ** 2).sum()),
        float(((local - ours).double() ** 2).sum()),
        float((exact.double() ** 2).sum()),
        float(((exact - ours).double() ** 2).sum()),
    ]
