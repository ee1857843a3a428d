"""Attention in float32, with the quantized softmax codes and the windows of the integer program."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.models.layers import gather_tokens, merge_heads, split_heads
from p2vit.models.windows import GlobalWindow, Windows
from p2vit.program.masks import LARGEST_GUARD
from p2vit.quant.config import Softmax

#: Largest number of keys at which log2 codes with 15 guard bits cannot overflow int32: 128 · 2^15 · 511 < 2^31.
KEYS_AT_FULL_GUARD = 511
#: Largest log2 code.
LARGEST_LEVEL = 15


@dataclass(frozen=True)
class WindowAttention:
    """Window attention of one block: the windows, the relative position bias and the padding.

    In the shapes below, W is the number of windows and n the number of tokens in each.

    Attributes:
        windows: Which tokens each window holds.
        bias: float32 [H, n, n], relative position bias.
        fills: float32 [C] for each of ``q``, ``k`` and ``v``: the token that pads a window.
    """

    windows: Windows | GlobalWindow
    bias: Tensor
    fills: dict[str, Tensor]

    def gather(self, x: Tensor, fill: Tensor) -> Tensor:
        """Arrange tokens [B, T, C] window by window: [B, W·n, C]. ``fill`` [C] pads the windows."""
        return gather_tokens(x, torch.from_numpy(self.windows.index.astype("int64")), fill)

    def scatter(self, x: Tensor) -> Tensor:
        """Put the tokens of windows [B, W·n, C] back in their original order: [B, T, C]."""
        return x[:, torch.from_numpy(self.windows.inverse.astype("int64"))]

    @property
    def mask(self) -> Tensor | None:
        """True where a query must not attend to a key: bool [W, n, n], or [n, n] for one window; or None."""
        regions = self.windows.regions
        if regions is None:
            return None
        apart = torch.from_numpy(regions[:, :, None] != regions[:, None, :])
        return apart if len(apart) > 1 else apart[0]

    def biased(self, scores: Tensor, bias: Tensor) -> Tensor:
        """Add bias and mask to scores [B, H, W, n, n] or [B, H, n, n], in place."""
        scores += bias.unsqueeze(1) if scores.ndim == 5 else bias
        return scores if self.mask is None else scores.masked_fill_(self.mask, -torch.inf)


def guard_bits(keys: int, masked: bool) -> int:
    """Return the guard bits of log2 softmax codes.

    There are as many as int32 sums allow. With masked keys there are at most ``LARGEST_GUARD``, so that the smallest
    code, which masked keys get, has weight zero.
    """
    guard = 15 if keys <= KEYS_AT_FULL_GUARD else 15 - math.ceil(math.log2(keys / KEYS_AT_FULL_GUARD))
    return min(guard, LARGEST_GUARD) if masked else guard


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    score_exponent: int,
    form: Softmax | None,
    window_attention: WindowAttention | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute attention with quantized softmax codes, or exactly if ``form`` is None.

    Args:
        q: Queries, float32 [B, N, C]. With window attention, tokens are in window order.
        k: Keys, of the same shape as ``q``.
        v: Values, of the same shape as ``q``.
        heads: Number of heads, H.
        score_exponent: log2 of the factor on the scores.
        form: Form of the softmax codes, see :class:`~p2vit.quant.config.QuantConfig`.
        window_attention: Windows that attention is limited to; None for attention over all tokens.
        bias: float32 [H, n, n], bias on the scores of a window. None: ``window_attention.bias``.

    Returns:
        float32 [B, N, C].
    """
    windows = 1 if window_attention is None else window_attention.windows.count
    q, k, v = (split_heads(x, heads, windows) for x in (q, k, v))
    if form is None and window_attention is None:
        return merge_heads(F.scaled_dot_product_attention(q, k, v, scale=2.0**score_exponent))
    scores = (q @ k.transpose(-1, -2)) * 2.0**score_exponent
    if window_attention is not None:
        scores = window_attention.biased(scores, window_attention.bias if bias is None else bias)
    if form is None:
        return merge_heads(scores.softmax(dim=-1) @ v)
    if form in ("linear", "log2"):
        relative = scores.sub_(scores.amax(dim=-1, keepdim=True))
        if form == "linear":
            codes = relative.exp_().mul_(256).add_(0.5).floor_().clamp_(max=255)
        else:
            levels = relative.mul_(-1.4426950408889634).add_(0.5).floor_().clamp_(max=LARGEST_LEVEL)
            guard = guard_bits(
                k.shape[-2], window_attention is not None and window_attention.mask is not None
            )
            beyond = levels > guard if guard < LARGEST_LEVEL else None
            codes = levels.neg_().exp2_()
            if beyond is not None:
                codes.masked_fill_(beyond, 0.0)
        out = (codes @ v) / codes.sum(dim=-1, keepdim=True)
    else:
        probability = scores.softmax(dim=-1)
        if form == "log2-probability":
            codes = torch.exp2(-torch.floor(0.5 - torch.log2(probability.clamp(min=2.0**-20))).clamp(0, 15))
            codes = codes * (probability > 0)
        else:
            codes = torch.floor(probability * 256 + 0.5).clamp_(max=255) / 256
        out = codes @ v
    return merge_heads(out)
