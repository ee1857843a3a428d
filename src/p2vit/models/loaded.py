"""A loaded float model: its weights in canonical form, its preprocessing, its class names and its origin."""

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

#: A library's model, float [B, 3, H, W] -> [B, outputs], and its image pipeline, photo -> float [3, H, W]. The pipeline
#: is None if the library does not know which preprocessing the weights expect.
Built = tuple[Callable[[Tensor], Tensor], Callable[[Any], Tensor] | None]


@dataclass(frozen=True)
class Original:
    """A recipe for the model that the original library makes of the same weights.

    Attributes:
        library: Import name of the library.
        build: Makes the library's model. It gets the user's options and may raise any exception of the library.
        maps: Blocks whose feature maps the library's model puts out one after the other; empty if its output is the
            canonical form's.
    """

    library: str
    build: Callable[[LoadOptions], Built]
    maps: tuple[int, ...] = ()


@dataclass(frozen=True)
class OriginalCheck:
    """The result of a successful comparison of a float model with the original library.

    Attributes:
        library: Name and version of the library.
        difference: Largest difference of an output, relative to the largest absolute output.
        photos: Number of compared photos.
        pixels: Whether the library's own image pipeline was compared too.
    """

    library: str
    difference: float
    photos: int
    pixels: bool


@dataclass(frozen=True)
class FloatModel:
    """A float model, ready to be quantized.

    Attributes:
        module: The network, in eval mode and without gradients.
        config: Shape of the network.
        preprocessing: Preprocessing of photos. Its mean and std equal the module's buffers.
        class_names: One name per logit, in order; empty if the source names none.
        source: Name or path that was loaded, as the user would type it.
        sha256: SHA-256 of the canonical weights, mean and std, 64 hex digits.
        preprocessing_from: Text that says where the preprocessing was taken from.
        notes: Texts that say what was assumed, and which option changes the assumption.
        options: Options that the user stated.
        outputs: Feature maps that the source itself puts out, in the words of ``--output``.
        text_sha256: Hash of what the text tower contributes to a zero-shot head; empty without one.
        checked: Comparison with the original library, or None if there was none.
        original: Recipe for the original library's model; None once the comparison is done.
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
    text_sha256: str = ""
    checked: OriginalCheck | None = None
    original: Original | None = field(default=None, repr=False, compare=False)

    @property
    def record(self) -> dict[str, Any]:
        """The part of this object that a program's provenance records, as plain JSON values."""
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
        config: Shape of the network.
        state: Canonical names -> float tensors: every parameter of `CanonicalViT`.
        preprocessing: Preprocessing of photos, with the model's mean and std.
        source: Name or path that was loaded.
        class_names: One name per logit, in order, or empty.
        preprocessing_from: See `FloatModel`.
        notes: See `FloatModel`.
        original: See `FloatModel`.

    Returns:
        The model.

    Raises:
        ModelError: A tensor is missing, superfluous, of a wrong shape, or not finite.
    """
    module = CanonicalViT(config, preprocessing.mean, preprocessing.std)
    wanted = {name: value.shape for name, value in module.named_parameters()}
    problems = [f"missing: {some(sorted(set(wanted) - set(state)))}"] if set(wanted) - set(state) else []
    if extra := sorted(set(state) - set(wanted)):
        problems.append(f"not part of the model: {some(extra)}")
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


def weights_sha256(module: torch.nn.Module, text_sha256: str = "") -> str:
    """Hash names, shapes and values of all parameters and buffers.

    Args:
        module: Any module.
        text_sha256: Hash that stands for the head, if a text tower computed it: its last bits differ between machines.

    Returns:
        64 hex digits.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if text_sha256 and name.startswith("head."):
            continue
        array = value.detach().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    digest.update(text_sha256.encode())
    return digest.hexdigest()
