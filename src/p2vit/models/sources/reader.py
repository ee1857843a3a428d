"""Read tensors from a library's state dict, and report all missing and unused tensors at the end."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from p2vit.errors import ModelError, some

#: Largest number of elements of an expanded tensor, which repeats stored values. Copying it takes more memory than the
#: file has.
MOST_REPEATED = 1 << 24

# Part of an unused tensor's name -> the unsupported part of the model that it belongs to.
PIECES = {
    "q_norm": "normalised queries and keys (qk_norm)",
    "k_norm": "normalised queries and keys (qk_norm)",
    "attn_pool": "an attention pooling head of another kind than SigLIP's",
    "dist_token": "a distillation token with its own head",
    "head_dist": "a distillation token with its own head",
    "distillation": "a distillation token with its own head",
    "pre_logits": "a hidden layer before the head (representation_size)",
    "fc1_g": "a gated MLP (SwiGLU)",
    "w12": "a gated MLP (SwiGLU)",
    "weights_in": "a gated MLP (SwiGLU)",
    "relative_position": "relative position bias of another kind than Swin's and BEiT's",
    "rel_pos": "relative position bias of another kind than Swin's and BEiT's",
    "rope": "rotary position embedding with learned frequencies",
    "attn.norm": "a LayerNorm on the attention output (scale_attn_inner)",
    "attn.gate": "gated attention",
    "downsample": "patch merging between stages (hierarchical ViTs other than Swin)",
    "layers.0.blocks": "stages (hierarchical ViTs other than Swin)",
    "logit_scale": "scaled cosine attention (Swin V2)",
    "cpb_mlp": "continuous position bias (Swin V2)",
    "running_mean": "BatchNorm, so it is not a plain ViT",
    "conv": "convolutions, so it is not a plain ViT",
    "head.": "a head that is not one linear layer on the pooled token",
    "classifier": "a head that is not one linear layer on the pooled token",
}


class StateReader:
    """A state dict from which each tensor is taken once. Problems are collected and reported by `finish`.

    Attributes:
        source: Name of the source for error messages.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.source = source
        self._left = dict(state)
        self._missing: list[str] = []
        self._broken: list[str] = []
        self._wrong: list[str] = []
        self._odd: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor that is not yet taken, or None if it does not exist or has no dimensions.

        Args:
            name: Name of the tensor.
        """
        value = self._left.get(name)
        return tuple(value.shape) if value is not None and value.ndim else None

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Take a tensor that must exist.

        Args:
            name: Name of the tensor.
            shape: Expected shape; dimensions of size 1 are ignored.

        Returns:
            Float32 tensor of that shape; zeros if it is missing or wrong, which `finish` reports.
        """
        value = self._left.pop(name, None)
        if value is None:
            self._missing.append(name)
            return torch.zeros(shape)
        if [side for side in value.shape if side != 1] != [side for side in shape if side != 1]:
            self._wrong.append(f"{name} is {list(value.shape)}, not {list(shape)}")
            return torch.zeros(shape)
        value = self._finite(name, value)
        return value.reshape(shape) if value.numel() else torch.zeros(shape)

    def take_or(self, name: str, shape: tuple[int, ...], fill: float = 0.0) -> Tensor:
        """Take an optional tensor, such as a bias.

        Args:
            name: Name of the tensor.
            shape: Expected shape.
            fill: Value of every element if the tensor does not exist.

        Returns:
            Float32 tensor of that shape.
        """
        return self.take(name, shape) if name in self._left else torch.full(shape, fill)

    def take_any(self, name: str) -> Tensor | None:
        """Take an optional tensor of any shape.

        Args:
            name: Name of the tensor.

        Returns:
            Float32 tensor, or None if it does not exist.
        """
        value = self._left.pop(name, None)
        return None if value is None else self._finite(name, value)

    def take_positions(self, name: str, channels: int) -> Tensor | None:
        """Take a position table with any number of rows.

        Args:
            name: Name of the table.
            channels: C.

        Returns:
            Float32 [rows, C], or None if the table does not exist or is wrong. `finish` reports a wrong table.
        """
        value = self._left.get(name)
        if value is not None and (not value.ndim or value.shape[-1] != channels or not value.numel()):
            self._wrong.append(f"{name} is {list(value.shape)}, not [..., {channels}]")
            self._left.pop(name)
            return None
        value = self.take_any(name)
        return None if value is None or not value.numel() else value.reshape(-1, channels)

    def copy(self, out: dict[str, Tensor], old: str, new: str, shape: tuple[int, ...]) -> None:
        """Copy weight and bias of a linear layer or a LayerNorm. A missing bias becomes zero.

        Args:
            out: Canonical tensors; the copies are added.
            old: Name of the layer in the source.
            new: Canonical name of the layer.
            shape: Shape of the weight. The bias has its first dimension.
        """
        out[f"{new}.weight"] = self.take(f"{old}.weight", shape)
        out[f"{new}.bias"] = self.take_or(f"{old}.bias", shape[:1])

    def copy_fused(
        self, out: dict[str, Tensor], old: str, names: list[str], width: int, separator: str = "."
    ) -> None:
        """Split a fused linear layer into several layers of C to C channels.

        Args:
            out: Canonical tensors; the split layers are added.
            old: Name of the fused layer in the source.
            names: Canonical names of the layers, in the order of the outputs.
            width: C.
            separator: Text between the layer's name and ``weight`` or ``bias``.
        """
        rows = len(names) * width
        weights = self.take(f"{old}{separator}weight", (rows, width)).chunk(len(names))
        biases = self.take_or(f"{old}{separator}bias", (rows,)).chunk(len(names))
        for name, weight, bias in zip(names, weights, biases, strict=True):
            out[f"{name}.weight"], out[f"{name}.bias"] = weight.clone(), bias.clone()

    def copy_parts(self, out: dict[str, Tensor], old: str, names: list[str], shape: tuple[int, int]) -> None:
        """Take a linear that is several of one shape in one, and split it.

        Args:
            out: Canonical tensors, added to.
            old: Name in the source.
            names: Canonical names, in the order of the outputs.
            shape: Outputs and inputs of each.
        """
        rows = len(names) * shape[0]
        weights = self.take(f"{old}.weight", (rows, shape[1])).chunk(len(names))
        biases = self.take_or(f"{old}.bias", (rows,)).chunk(len(names))
        for name, weight, bias in zip(names, weights, biases, strict=True):
            out[f"{name}.weight"], out[f"{name}.bias"] = weight.clone(), bias.clone()

    def drop(self, *patterns: str) -> None:
        """Drop tensors that the output does not depend on.

        Args:
            patterns: Shell-style patterns of names.
        """
        self._left = {k: v for k, v in self._left.items() if not any(fnmatchcase(k, p) for p in patterns)}

    def finish(self, architecture: str) -> None:
        """Check that every tensor existed, was finite, had the right shape, and was used.

        Args:
            architecture: Name of the expected architecture, for the message.

        Raises:
            ModelError: There were problems. The message names the tensors and the unsupported part of the model.
        """
        problems = []
        if pieces := unsupported_pieces(self._left):
            problems.append(f"it has {' and '.join(pieces)}, which is not supported")
        if self._missing:
            problems.append(f"missing: {some(self._missing)}")
        if self._left:
            problems.append(f"not part of {architecture}: {some(sorted(self._left))}")
        if self._wrong:
            problems.append(f"of a wrong shape: {some(self._wrong)}")
        if self._odd:
            problems.append(f"not plain numbers: {some(self._odd)}; convert them to float32 and save again")
        if self._broken:
            problems.append(f"NaN or infinity in: {some(self._broken)}")
        if problems:
            raise ModelError(f"{self.source} does not fit {architecture}: {'; '.join(problems)}")

    def _finite(self, name: str, value: Tensor) -> Tensor:
        """Convert a tensor to float32 and note whether all values are finite. Return an empty tensor if unusable."""
        if kind := odd_kind(value):
            self._odd.append(f"{name} is {kind}")
            return torch.zeros(0)
        value = value.detach().float()
        if not torch.isfinite(value).all():
            self._broken.append(name)
        return value


def odd_kind(value: Tensor) -> str | None:
    """Say why a tensor cannot be used as float weights.

    Args:
        value: Any tensor.

    Returns:
        Description of the tensor, or None if it is a plain float16, bfloat16, float32 or float64 tensor.
    """
    if value.is_meta:
        return "on the meta device, without values"
    if value.layout is not torch.strided:
        return "sparse"
    if value.is_quantized:
        return f"quantized ({value.dtype})".replace("torch.", "")
    if value.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return str(value.dtype).removeprefix("torch.")
    if (
        value.numel() > MOST_REPEATED
        and value.numel() * value.element_size() > value.untyped_storage().nbytes()
    ):
        return "a few values repeated (an expanded view)"
    return None


def unsupported_pieces(leftover: Iterable[str]) -> list[str]:
    """Find the unsupported parts of a model from the names of its unused tensors.

    Args:
        leftover: Names of the unused tensors.

    Returns:
        Description of each part, without duplicates.
    """
    keys = list(leftover)
    return list(dict.fromkeys(text for mark, text in PIECES.items() if any(mark in key for key in keys)))


def patch_linear(weight: Tensor) -> Tensor:
    """Convert a patch convolution to a linear layer over patches flattened in (row, column, channel) order.

    Args:
        weight: Float [C, 3, p, p].

    Returns:
        Float [C, p · p · 3].
    """
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
