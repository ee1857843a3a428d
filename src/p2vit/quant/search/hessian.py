"""The paper's sensitivity: Hessian trace × perturbation of the weights, for the model and photos at hand."""

import numpy as np
import torch
from numpy.typing import NDArray

from p2vit.models.canonical import CanonicalViT
from p2vit.quant.fold import fold_block
from p2vit.quant.pipeline import Progress, silent
from p2vit.quant.search.layers import SITES
from p2vit.quant.search.library import Library


def hessian_traces(
    model: CanonicalViT, pixels: NDArray[np.uint8], probes: int, seed: int, progress: Progress = silent
) -> dict[str, float]:
    """Mean diagonal of the Hessian of each layer's weights (Hutchinson's estimate).

    The loss is the squared distance of the feature from the float model's own, so that no label is needed. At
    the float weights its gradient is zero and its Hessian is 2·JᵀJ exactly; for random signs v, E‖Jᵀv‖² =
    tr(JJᵀ) = tr(JᵀJ), which takes one backward pass per probe and photo instead of two.

    Args:
        model: In canonical form.
        pixels: Calibration photos, uint8 [P, H, W, 3].
        probes: Sign vectors per photo.
        seed: Draws them.
        progress: Called with (stage, done, total).

    Returns:
        Layer → trace / number of weights.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {
        f"blocks.{i}.{path}": getattr(block, path.split(".")[1]).weight
        for i, block in enumerate(model.blocks)
        for path in SITES
    }
    traces = dict.fromkeys(weights, 0.0)
    threads = torch.get_num_threads()
    # One thread: the last bits of a product depend on how many share it, and equal seeds must give equal
    # traces.
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
    """Ω of the paper: mean Hessian diagonal × squared distance of the quantized weights from the float ones.

    Args:
        model: The float model; distances are taken in its own weights, normalisation gains not folded in.
        library: Layers at every width.
        traces: From :func:`hessian_traces`.

    Returns:
        Layer → width → Ω.
    """
    table: dict[str, dict[int, float]] = {}
    for layer in library.layers:
        source = model.blocks[layer.block]
        folded = fold_block(source).layers[layer.site]  # type: ignore[arg-type]
        original = getattr(source, layer.site).weight
        # What folding multiplied each weight with; where that is zero the weight is zero on both sides.
        gain = torch.where(original == 0, torch.ones_like(original), folded.weight / original).double()
        gain = torch.where(gain == 0, torch.ones_like(gain), gain)
        inputs = library.program.tensors[library.program.node(layer.name).inputs[0]]
        table[layer.name] = {}
        for width in library.widths:
            rounded = library.rounded[layer.name, width]
            # The accumulator's exponent is the weight's with the input's absorbed.
            exponent = rounded.accumulator_exponent[:, None].astype(np.int32) - inputs.exponent
            weight = torch.from_numpy(np.ldexp(rounded.weight.astype(np.float64), exponent))
            error = (weight - folded.weight) / gain
            table[layer.name][width] = traces[layer.name] * float((error**2).sum())
    return table
