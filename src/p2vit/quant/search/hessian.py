"""The paper's sensitivity: Hessian trace × perturbation of the weights."""

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.fold import fold_block
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.library import Library


def hessian_traces(
    model: CanonicalViT, pixels: NDArray[np.uint8], probes: int, seed: int, progress: Progress = silent
) -> dict[str, float]:
    """Estimate the mean diagonal of the Hessian of each layer's weights (Hutchinson's estimator).

    The loss is the squared distance of the feature from the float model's feature, so no label is needed. At the float
    weights its gradient is zero and its Hessian is exactly 2·JᵀJ. For random signs v, E‖Jᵀv‖² = tr(JJᵀ) = tr(JᵀJ),
    which needs one backward pass per sign vector and photo instead of two.

    Args:
        model: Float model in canonical form.
        pixels: Calibration photos, uint8 [P, H, W, 3].
        probes: Number of random sign vectors per photo.
        seed: Random seed of the sign vectors.
        progress: Called with (stage, done, total).

    Returns:
        Layer name → trace / number of weights.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {
        layer.name: getattr(model.blocks[layer.block], layer.site).weight
        for layer in searchable(model.config)
    }
    traces = dict.fromkeys(weights, 0.0)
    threads = torch.get_num_threads()
    # The last bits of a product depend on the number of threads, and equal seeds must give equal traces.
    torch.set_num_threads(1)
    try:
        for weight in weights.values():
            weight.requires_grad_(True)
        for index in range(len(pixels)):
            progress("hessian", index, len(pixels))
            with torch.enable_grad():
                feature = model.features(torch.from_numpy(pixels[index : index + 1]))
            for probe in range(probes):
                signs = torch.randint(0, 2, feature.shape, generator=generator) * 2.0 - 1
                gradients = torch.autograd.grad(
                    feature, list(weights.values()), signs, retain_graph=probe + 1 < probes
                )
                for name, gradient in zip(weights, gradients, strict=True):
                    traces[name] += 2 * float((gradient.double() ** 2).sum())
        progress("hessian", len(pixels), len(pixels))
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
        torch.set_num_threads(threads)
    return {name: trace / (len(pixels) * probes * weights[name].numel()) for name, trace in traces.items()}


def hessian_sensitivity(
    model: CanonicalViT, library: Library, traces: dict[str, float]
) -> dict[str, dict[int, float]]:
    """Compute the paper's Ω: mean Hessian diagonal × squared distance of quantized and float weights.

    Args:
        model: The float model. Distances are between its own weights, without folded LayerNorm gains.
        library: Layers rounded at every width.
        traces: Result of :func:`hessian_traces`.

    Returns:
        Layer name → width → Ω.
    """
    table: dict[str, dict[int, float]] = {}
    for layer in library.layers:
        source = model.blocks[layer.block]
        folded = fold_block(source).layers[layer.site]  # type: ignore[arg-type]
        original = getattr(source, layer.site).weight
        # Factor by which folding multiplied each weight. If it is zero, both weights are zero.
        gain = torch.where(original == 0, torch.ones_like(original), folded.weight / original).double()
        gain = torch.where(gain == 0, torch.ones_like(gain), gain)
        inputs = library.program.tensors[library.program.node(layer.name).inputs[0]]
        table[layer.name] = {}
        for width in library.widths:
            rounded = library.rounded[layer.name, width]
            # The accumulator's exponent is the sum of the weight's and the input's.
            exponent = rounded.accumulator_exponent[:, None].astype(np.int32) - inputs.exponent
            weight = torch.from_numpy(np.ldexp(rounded.weight.astype(np.float64), exponent))
            error = (weight - folded.weight) / gain
            table[layer.name][width] = traces[layer.name] * float((error**2).sum())
    return table
