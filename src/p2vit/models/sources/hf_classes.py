"""Which of transformers' classes a repository is of, and what p2vit's one output is of it: logits, or a feature."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import Pool
from p2vit.models.options import LoadOptions

#: Classes with one output that p2vit has too, by model_type.
LOGITS = {
    "vit": ("ViTForImageClassification",),
    "deit": ("DeiTForImageClassification", "DeiTForImageClassificationWithTeacher"),
    "swin": ("SwinForImageClassification",),
    "dinov2": ("Dinov2ForImageClassification",),
    "dinov2_with_registers": ("Dinov2WithRegistersForImageClassification",),
    "dinov3_vit": (),
    "clip": ("CLIPModel", "CLIPVisionModelWithProjection"),
    "clip_vision_model": ("CLIPVisionModelWithProjection",),
    "siglip": ("SiglipForImageClassification",),
    "siglip_vision_model": ("SiglipForImageClassification",),
}
#: Classes without a head, whose pooled feature is taken.
FEATURES = {
    "vit": ("ViTModel",),
    "deit": ("DeiTModel",),
    "swin": ("SwinModel",),
    "dinov2": ("Dinov2Model",),
    "dinov2_with_registers": ("Dinov2WithRegistersModel",),
    "dinov3_vit": ("DINOv3ViTModel",),
    "clip": ("CLIPVisionModel",),
    "clip_vision_model": ("CLIPVisionModel",),
    "siglip": ("SiglipModel", "SiglipVisionModel"),
    "siglip_vision_model": ("SiglipVisionModel",),
}
#: Families whose headless models put out all tokens: which of them is the feature is not said.
SEVERAL = ("vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit")


@dataclass(frozen=True)
class Output:
    """What of a repository's model is computed.

    Attributes:
        pool: Of the canonical form.
        classes: Outputs of the head; 0 for none.
        notes: What was assumed, for people.
    """

    pool: Pool
    classes: int
    notes: tuple[str, ...] = ()


def output_of(
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    width: int,
    head: str,
    options: LoadOptions,
    source: str,
) -> Output:
    """Settle the output from the class that config.json names and the heads that are there.

    Args:
        meta: config.json, of a plain ViT.
        weights: Names -> tensors.
        width: Channels of a token.
        head: Name of the family's usual head.
        options: What the user stated.
        source: Named in errors.

    Raises:
        ModelError: a class with several outputs, a head on something else, or an option that contradicts the file.
    """
    kind = meta["model_type"]
    stated = meta.get("architectures")
    name = str(stated[0]) if isinstance(stated, list | tuple) and stated else ""
    known = LOGITS[kind] + FEATURES[kind]
    if name and name not in known and options.pool is None:
        raise ModelError(
            f"{source}: config.json names the class {name}, which has no single output that p2vit computes; there are "
            f"{', '.join(known)}. --pool token takes its class token after the last LayerNorm as a feature, "
            "--pool avg the mean of its patches"
        )
    pool, classes = _of_heads(weights, width, head, kind, source)
    if name and name in FEATURES[kind] and classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have a head ('{head}')"
        )
    if name in LOGITS[kind] and not classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have no head ('{head}')"
        )
    fixed = classes or kind.startswith("siglip")
    if fixed:
        if options.pool not in (None, pool):
            raise ModelError(
                f"{source}: --pool {options.pool}: {name or 'its head'} reads another ('{pool}')"
            )
        return Output(pool, classes)
    if options.pool is not None or kind not in SEVERAL:
        return Output(options.pool or pool, 0)
    note = (
        f"{source} has no head: its feature is the class token after the last LayerNorm (last_hidden_state[:, 0]); "
        "--pool avg takes the mean of the patches"
    )
    return Output(pool, 0, (note,))


def _of_heads(
    weights: Mapping[str, Tensor], width: int, head: str, kind: str, source: str
) -> tuple[Pool, int]:
    """Pool and number of classes, from the heads in the weights."""
    siglip = kind.startswith("siglip")
    two = [weights.get(f"{name}.weight") for name in ("cls_classifier", "distillation_classifier")]
    if kind == "deit" and two[0] is not None and two[1] is not None:
        return "token_dist", len(two[0])
    found = weights.get(f"{head}.weight")
    if found is None:
        return ("attention" if siglip else "token"), 0
    if found.ndim == 2 and found.shape[-1] == width:
        return ("avg" if siglip else "token"), len(found)
    if kind.startswith("dinov2") and found.ndim == 2 and found.shape[-1] == 2 * width:
        return "token_avg", len(found)
    raise ModelError(
        f"{source}: a head on {found.shape[-1]} features is not supported; "
        f"only one on the {width} of the pooled token is"
    )


def output_of_swin(meta: Mapping[str, Any], classes: int, options: LoadOptions, source: str) -> None:
    """See that a Swin's output is one that p2vit has: it averages its tokens.

    Raises:
        ModelError: a class with several outputs, or an option that contradicts it.
    """
    stated = meta.get("architectures")
    name = str(stated[0]) if isinstance(stated, list | tuple) and stated else ""
    known = LOGITS["swin"] + FEATURES["swin"]
    if options.pool == "token":
        raise ModelError(f"{source}: --pool token: a Swin has no class token")
    if name and name not in known and options.pool is None:
        raise ModelError(
            f"{source}: config.json names the class {name}, which has no single output that p2vit computes; there are "
            f"{', '.join(known)}. --pool avg takes the mean of its last tokens as a feature"
        )
    if name in LOGITS["swin"] and not classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have no head ('classifier')"
        )
