"""Second-order rounding of a weight matrix: regression target, GPTQ error compensation, and coordinate descent.

The loss is ``Σ_rows (q − w)·H·(q − w)ᵀ``, where H is the second moment of the stored inputs.
"""

import torch
from torch import Tensor

#: Columns between two updates of the columns still to come (GPTQ's lazy batches).
COLUMNS = 96
#: Damping of the Hessian: this share of its mean diagonal is added to the diagonal.
DAMPING = 0.01
#: Damping of the regression; larger, because the regression would overfit the calibration photos.
RIDGE = 0.1


def damped(hessian: Tensor, share: float = DAMPING) -> Tensor:
    """Return a copy with a share of the mean diagonal added to the diagonal: float64 [K, K]."""
    diagonal = hessian.diagonal()
    return hessian + torch.eye(len(hessian), dtype=hessian.dtype) * (share * diagonal.mean().clamp(min=1.0))


def inverse_factor(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the upper Cholesky factor of the damped inverse Hessian, inputs with the most energy first.

    Args:
        hessian: float64 [K, K].

    Returns:
        The factor, float32 [K, K], and the order of the inputs, int64 [K].
    """
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped(hessian)[order][:, order]))
    return torch.linalg.cholesky(inverse, upper=True).float(), order


def aim(weight: Tensor, hessian: Tensor, cross: Tensor) -> Tensor:
    """Compute the real-valued matrix that best maps the quantized model's inputs to the float model's outputs.

    Ridge regression: min over G of ``Σ |G·x − y|² + λ|G − W|²``. It corrects those errors of earlier layers that are
    linear in the input of this layer.

    Args:
        weight: float64 [N, K], W, the float layer. The solution stays near it for inputs that were not observed.
        hessian: float64 [K, K], Σ x·xᵀ.
        cross: float64 [K, N], Σ x·yᵀ.

    Returns:
        G, float64 [N, K].
    """
    ridge = RIDGE * hessian.diagonal().mean().clamp(min=1.0)
    return torch.cholesky_solve(cross + ridge * weight.T, torch.linalg.cholesky(damped(hessian, RIDGE))).T


def compensate(weight: Tensor, factor: Tensor, bits: int) -> Tensor:
    """Round one column after the other, and compensate each column's error in the columns that follow.

    Args:
        weight: float32 [R, K], in units of each row's scale; columns in the order in which they are rounded.
        factor: float32 [K, K], upper Cholesky factor of the inverse Hessian, in the same order.
        bits: Width of the weights.

    Returns:
        Codes, float32 [R, K] of whole numbers.

    Source: GPTQ, arXiv 2210.17323.
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
    """Lower the loss by coordinate descent: move one column at a time to its best integers, with the others fixed.

    Compensation rounds each column once. This revisits every column, and never increases the loss.

    Args:
        weight: float32 [R, K], in units of each row's scale.
        rounded: Codes to start from, float32 [R, K] of whole numbers.
        hessian: float32 [K, K], damped.
        bits: Width of the weights.
        sweeps: Number of passes over all columns.

    Returns:
        Codes, float32 [R, K] of whole numbers.
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
    """Compute the loss of each row, float64 [R]. The arguments are those of :func:`descend`."""
    error = rounded - weight
    return ((error @ hessian) * error).sum(dim=1).double()


def code_range(bits: int) -> tuple[int, int]:
    """Return the lowest and the highest code of a signed width."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
