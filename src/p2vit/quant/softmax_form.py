"""Choice of the form of the softmax codes of a block: ``linear`` (8 bits) or ``log2`` (4 bits).

Linear codes of probabilities below 1/512 of the row's largest are zero. Where one key of many dominates, the rest of
the row is lost, for all tokens in the same direction. Log2 codes keep it, but each code has an error of its own of up
to half an octave. Such errors average out over many tokens, and the systematic ones of the linear form do not.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.quant.attention import attend
from p2vit.quant.config import Softmax
from p2vit.quant.fold import Affine
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.workers import Workers

#: Forms that have an integer operator. The first one is chosen if both are equal.
FORMS: tuple[Softmax, ...] = ("linear", "log2")
#: Weight of the error that all tokens share, relative to the error of single tokens.
SHARED = 16.0


def choose_form(
    block: QuantizedBlock, layers: dict[str, Affine], probe: Tensor, importance: Tensor, workers: Workers
) -> Softmax:
    """Return the form with the smaller error of the attention half's output.

    The error of a photo is the squared error of its tokens, plus ``SHARED`` times the square of their mean error.

    Args:
        block: Block whose grids ``norm1``, ``q``, ``k`` and ``v`` are chosen.
        layers: ``q``, ``k``, ``v`` and ``proj`` of the float model.
        probe: Normalised residual stream, float32 [B, N, C].
        importance: float32 [N], weight of each token; the weights add up to N.
        workers: Threads that share the photos.
    """
    weight = importance.unsqueeze(-1)

    def errors(photo: Tensor) -> Tensor:
        hidden = block.grids["norm1"].fake(photo)
        out = {name: F.linear(hidden, layers[name].weight, layers[name].bias) for name in "qkv"}
        out |= {name: block.turned(out[name]) for name in "qk"}
        out = {name: block.grids[name].fake(x) for name, x in out.items()}
        windows = block.window_attention
        if windows is not None:
            out = {name: windows.gather(x, windows.fills[name]) for name, x in out.items()}

        def half(form: Softmax | None) -> Tensor:
            mixed = attend(out["q"], out["k"], out["v"], block.heads, block.score_exponent, form, windows)
            if windows is not None:
                mixed = windows.scatter(mixed)
            return F.linear(mixed, layers["proj"].weight)

        exact = half(None)

        def error(form: Softmax) -> Tensor:
            distance = (half(form) - exact).double()
            shared = (distance * weight).sum(dim=1).square().sum() / len(importance)
            return (distance.square() * weight).sum() + SHARED * shared

        return torch.stack([error(form) for form in FORMS])

    total = torch.stack(workers.map(errors, list(probe.split(1)))).sum(dim=0)
    return FORMS[int(total.argmin())]
