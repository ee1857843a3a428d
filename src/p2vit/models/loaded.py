"""What loading a model gives: weights in canonical form, and all that belongs to them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ModelConfig
from p2vit.program.preprocessing import Preprocessing


@dataclass(frozen=True)
class FloatModel:
    """A float model, ready to be quantized.

    Attributes:
        module: In eval mode, without gradients.
        config: Its shape.
        preprocessing: What photos go through before it; mean and std equal the module's buffers.
        class_names: In the order of the logits; empty when the source names none.
        source: What was loaded, as the user would type it.
        sha256: Of the canonical weights, hex.
        notes: What was assumed, chosen or left out while loading, for people.
    """

    module: CanonicalViT
    config: ModelConfig
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()


def assemble(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    *,
    source: str,
    class_names: tuple[str, ...] = (),
) -> FloatModel:
    """Put canonical weights into a module.

    Args:
        config: The shape.
        state: Canonical names -> float tensors: what `CanonicalViT` names, without ``mean`` and ``std``.
        preprocessing: With the model's mean and std.
        source: What was loaded.
        class_names: In the order of the logits, or empty.

    Returns:
        The model.

    Raises:
        ModelError: tensors are missing, superfluous, of a wrong shape, or not finite.
    """
    module = CanonicalViT(config, preprocessing.mean, preprocessing.std)
    wanted = {name: value.shape for name, value in module.named_parameters()}
    problems = [f"missing: {some(sorted(set(wanted) - set(state)))}"] if set(wanted) - set(state) else []
    if extra := sorted(set(state) - set(wanted)):
        problems.append(f"not part of it: {some(extra)}")
    both = [name for name in wanted if name in state]
    for name in both:
        if state[name].shape != wanted[name]:
            problems.append(f"{name} is {list(state[name].shape)}, not {list(wanted[name])}")
    if broken := [name for name in both if not torch.isfinite(state[name]).all()]:
        problems.append(f"NaN or infinity in {some(broken)}")
    if class_names and len(class_names) != config.num_classes:
        problems.append(f"{len(class_names)} class names for {config.num_classes} classes")
    if problems:
        raise ModelError(f"{source}: the weights do not fit {config.name}: {'; '.join(problems)}")
    module.load_state_dict({name: state[name].float() for name in wanted}, strict=False)
    module.eval().requires_grad_(False)
    return FloatModel(module, config, preprocessing, tuple(class_names), source, weights_sha256(module))


def weights_sha256(module: torch.nn.Module) -> str:
    """Hash names, shapes and values of all parameters and buffers.

    Args:
        module: Any module.

    Returns:
        64 hex digits.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
