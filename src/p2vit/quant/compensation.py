"""Second-order rounding of a weight matrix: what to aim at, one pass of error compensation, and a descent
after it.

All work in the domain of stored inputs, for the loss ``Σ_rows (q − w)·H·(q − w)ᵀ`` with H the inputs' second
moment.
"""

import torch
from torch import Tensor

#: Columns between two updates of the columns still to come (GPTQ's lazy batches).
COLUMNS = 96
#: Share of the mean diagonal added to the Hessian.
DAMPING = 0.01
#: The same for the regression that says what to aim at: it has photos to overfit.
RIDGE = 0.1


def damped(hessian: Tensor, share: float = DAMPING) -> Tensor:
    """A copy with a share of its mean diagonal added to the diagonal: float64 [K, K]."""
    diagonal = hessian.diagonal()
    return hessian + torch.eye(len(hessian), dtype=hessian.dtype) * (share * diagonal.mean().clamp(min=1.0))


def inverse_factor(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Upper Cholesky factor of the damped inverse, most energetic inputs first, and that order.

    Args:
        hessian: float64 [K, K].

    Returns:
        float32 [K, K] and int64 [K].
    """
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(hessian)[order][:, order]))
    return torch.linalg.cholesky(inverse, upper=True).float(), order


def aim(weight: Tensor, hessian: Tensor, cross: Tensor) -> Tensor:
    """The real-valued matrix that best maps the quantized model's inputs to what the float model has.

    Ridge regression: min over G of ``Σ |G·x − y|² + λ|G − W|²``. What earlier layers got wrong in a way that
    a linear map of their output can see is so put right here, before this layer is rounded.

    Args:
        weight: float64 [N, K], W: where nothing was seen the solution stays there.
        hessian: float64 [K, K], Σ x·xᵀ.
        cross: float64 [K, N], Σ x·yᵀ.

    Returns:
        float64 [N, K].
    """
    ridge = RIDGE * hessian.diagonal().mean().clamp(min=1.0)
    return torch.cholesky_solve(cross + ridge * weight.T, torch.linalg.cholesky(damped(hessian, RIDGE))).T


def compensate(weight: Tensor, factor: Tensor, bits: int) -> Tensor:
    """Round columns one after the other, giving each column's error to those that follow (GPTQ, arXiv
    2210.17323).

    Args:
        weight: float32 [R, K], in units of each row's scale; columns in the order to round them.
        factor: float32 [K, K], upper Cholesky factor of the inverse Hessian in the same order.
        bits: Width.

    Returns:
        float32 [R, K] of whole numbers.
    """
    low, high = code_range(bits)
    rest, rounded = weight.clone(), torch.empty_like(weight)
    for start in range(0, weight.shape[1], COLUMNS):
        stop = min(start + COLUMNS, weight.shape[1])
        part, errors = rest[:, start:stop].T.contiguous(), torch.empty(stop - start, len(weight))
        local = factor[start:stop, start:stop]
        for j in range(stop - start):
            q = torch.floor(part[j] + 0.5).clamp_(low, high)
            rounded[:, start + j] = q
            errors[j] = (part[j] - q) / local[j, j]
            if j + 1 < stop - start:
                part[j + 1 :].addr_(local[j, j + 1 :], errors[j], alpha=-1)
        if stop < weight.shape[1]:
            rest[:, stop:] -= errors.T @ factor[start:stop, stop:]
    return rounded


def descend(weight: Tensor, rounded: Tensor, hessian: Tensor, bits: int, sweeps: int) -> Tensor:
    """Coordinate descent on the loss: column after column moves to the best integer, all others held.

    One pass of compensation never reconsiders a column; this does, and never makes the loss worse.

    Args:
        weight: float32 [R, K], in units of each row's scale.
        rounded: float32 [R, K] of whole numbers to start from.
        hessian: float32 [K, K], damped.
        bits: Width.
        sweeps: Passes over all columns.

    Returns:
        float32 [R, K] of whole numbers.
    """
    low, high = code_range(bits)
    codes, diagonal = rounded.T.contiguous(), hessian.diagonal()
    slope = hessian @ (codes - weight.T)
    for _ in range(sweeps):
        for k in range(len(codes)):
            best = torch.floor(codes[k] - slope[k] / diagonal[k] + 0.5).clamp_(low, high)
            change = best - codes[k]
            if change.any():
                slope.addr_(hessian[k], change)
                codes[k] = best
    return codes.T.contiguous()


def row_losses(weight: Tensor, rounded: Tensor, hessian: Tensor) -> Tensor:
    """The loss of each row, float64 [R], for arguments as in :func:`descend`."""
    error = rounded - weight
    return ((error @ hessian) * error).sum(dim=1).double()


def code_range(bits: int) -> tuple[int, int]:
    """Lowest and highest code of a signed width."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
