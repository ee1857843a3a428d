"""What loading a model gives: weights in canonical form, and all that belongs to them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.canonical import CanonicalViT
from p2vit.models.config import ModelConfig
from p2vit.models.options import LoadOptions
from p2vit.program.preprocessing import Preprocessing

#: A library's module as float [B, 3, H, W] -> [B, outputs], and its way from a photo to float [3, H, W], or None where
#: the library does not know what these weights expect.
Built = tuple[Callable[[Tensor], Tensor], Callable[[Any], Tensor] | None]


@dataclass(frozen=True)
class Original:
    """How to make the model that a library would make of the same weights.

    Attributes:
        library: Its import name.
        build: Called with what the user stated; may raise whatever the library raises.
    """

    library: str
    build: Callable[[LoadOptions], Built]


@dataclass(frozen=True)
class Checked:
    """That a float model puts out what the original library does.

    Attributes:
        library: Its name and version.
        difference: Largest difference of an output, over the largest output.
        photos: How many were compared.
        pixels: The photos went through the library's own image pipeline too.
    """

    library: str
    difference: float
    photos: int
    pixels: bool


@dataclass(frozen=True)
class FloatModel:
    """A float model, ready to be quantized.

    Attributes:
        module: In eval mode, without gradients.
        config: Its shape.
        preprocessing: What photos go through before it; mean and std equal the module's buffers.
        class_names: In the order of the logits; empty when the source names none.
        source: What was loaded, as the user would type it.
        sha256: Of the canonical weights, mean and std, hex.
        preprocessing_from: Where the preprocessing was taken from, for people.
        notes: What was assumed, and which option settles it, for people.
        options: What the user stated.
        outputs: Feature maps that the source itself puts out, in the words of ``--output``.
        checked: The comparison with the original library, or None where there was none.
        original: The original library's model, until it is compared with.
    """

    module: CanonicalViT
    config: ModelConfig
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    source: str
    sha256: str
    preprocessing_from: str = ""
    notes: tuple[str, ...] = ()
    options: LoadOptions = field(default_factory=LoadOptions)
    outputs: tuple[str, ...] = ()
    checked: Checked | None = None
    original: Original | None = field(default=None, repr=False, compare=False)

    @property
    def record(self) -> dict[str, Any]:
        """What of this goes into a program's provenance: plain JSON values."""
        stated = self.options.stated
        found: dict[str, Any] = (
            {"preprocessing_from": self.preprocessing_from} if self.preprocessing_from else {}
        )
        if stated:
            found["load"] = stated
        if self.checked is not None:
            found["checked"] = {
                "library": self.checked.library,
                "difference": float(f"{self.checked.difference:.2g}"),
                "photos": self.checked.photos,
                "pixels": self.checked.pixels,
            }
        return found


def assemble(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    *,
    source: str,
    class_names: tuple[str, ...] = (),
    preprocessing_from: str = "",
    notes: tuple[str, ...] = (),
    original: Original | None = None,
) -> FloatModel:
    """Put canonical weights into a module.

    Args:
        config: The shape.
        state: Canonical names -> float tensors: what `CanonicalViT` names, without ``mean`` and ``std``.
        preprocessing: With the model's mean and std.
        source: What was loaded.
        class_names: In the order of the logits, or empty.
        preprocessing_from: See `FloatModel`.
        notes: See `FloatModel`.
        original: See `FloatModel`.

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
    return FloatModel(
        module,
        config,
        preprocessing,
        tuple(class_names),
        source,
        weights_sha256(module),
        preprocessing_from=preprocessing_from,
        notes=tuple(notes),
        original=original,
    )


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
