"""Choose the output of a transformers model (logits or a feature) from its class and its heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import Pool
from p2vit.models.options import LoadOptions

#: model_type -> classes with a head, whose logits are the output.
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
    "vit_mae": (),
    "vit_msn": ("ViTMSNForImageClassification",),
    "ijepa": ("IJepaForImageClassification",),
    "beit": ("BeitForImageClassification",),
    "data2vec-vision": ("Data2VecVisionForImageClassification",),
}
#: model_type -> classes without a head, whose pooled feature is the output.
FEATURES = {
    "vit": ("ViTModel",),
    "deit": ("DeiTModel",),
    "swin": ("SwinModel",),
    "dinov2": ("Dinov2Model", "Dinov2Backbone"),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersBackbone"),
    "dinov3_vit": ("DINOv3ViTModel",),
    "clip": ("CLIPVisionModel",),
    "clip_vision_model": ("CLIPVisionModel",),
    "siglip": ("SiglipModel", "SiglipVisionModel"),
    "siglip_vision_model": ("SiglipVisionModel",),
    "vit_mae": ("ViTMAEModel", "ViTMAEForPreTraining"),
    "vit_msn": ("ViTMSNModel",),
    "ijepa": ("IJepaModel",),
    "beit": ("BeitModel",),
    "data2vec-vision": ("Data2VecVisionModel",),
}
#: Families whose models without a head return all tokens, so that the source does not define one feature.
ALL_TOKENS = (
    "vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit_mae", "vit_msn", "ijepa",
)  # fmt: skip
#: Families without a class token, whose feature is the mean of the patches.
NO_CLASS_TOKEN = ("ijepa",)


#: Families that apply the last LayerNorm to the mean of the patches, unless ``use_mean_pooling`` is false.
MEAN_NORM = ("beit", "data2vec-vision")


@dataclass(frozen=True)
class Output:
    """The output of a repository's model that p2vit computes.

    Attributes:
        pool: Pool of the canonical form.
        classes: Outputs of the head; 0 without a head.
        notes: Texts that say what was assumed.
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
    """Choose the output of a plain ViT from the class in config.json and the heads in the weights.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors.
        width: Channels of a token.
        head: Name of the family's usual head.
        options: Options of loading.
        source: Name of the source for error messages.

    Returns:
        The output.

    Raises:
        ModelError: The class has several outputs, the head reads an unsupported feature, or an option contradicts
            the file.
    """
    kind = meta["model_type"]
    stated = meta.get("architectures")
    name = str(stated[0]) if isinstance(stated, list | tuple) and stated else ""
    known = LOGITS[kind] + FEATURES[kind]
    if name and name not in known and options.pool is None:
        raise ModelError(
            f"{source}: config.json names the class {name}, whose output p2vit does not compute. Supported classes: "
            f"{', '.join(known)}. --pool token takes its class token after the last LayerNorm as a feature, "
            "--pool avg the mean of its patches"
        )
    pool, classes = _of_heads(weights, width, head, kind, source)
    if kind in MEAN_NORM:
        pool = "avg" if meta.get("use_mean_pooling", True) else "token"
        if pool == "avg" and not any(key.endswith("pooler.layernorm.weight") for key in weights):
            raise ModelError(
                f"{source}: use_mean_pooling is true in config.json, but the weights have no LayerNorm for the mean "
                f"(pooler.layernorm), so the model has no pooled output. Use the weights of {LOGITS[kind][0]}, or save "
                f"{FEATURES[kind][0]} with add_pooling_layer=True"
            )
    if name and name in FEATURES[kind] and classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have a head ('{head}')"
        )
    if name in LOGITS[kind] and not classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have no head ('{head}')"
        )
    if kind in NO_CLASS_TOKEN and options.pool == "token":
        raise ModelError(f"{source}: --pool token: a model of type {kind} has no class token; omit --pool")
    fixed = classes or kind.startswith("siglip") or kind in MEAN_NORM
    if fixed:
        if options.pool not in (None, pool):
            raise ModelError(
                f"{source}: --pool {options.pool} does not fit: {name or 'its head'} uses the pool '{pool}'; omit it"
            )
        return Output(pool, classes)
    if options.pool is not None or kind not in ALL_TOKENS:
        return Output(options.pool or pool, 0)
    note = (
        f"{source} has no head: its feature is the class token after the last LayerNorm (last_hidden_state[:, 0]); "
        "--pool avg takes the mean of the patches"
    )
    if kind in NO_CLASS_TOKEN:
        note = f"{source} has no head: its feature is the mean of the patches after the last LayerNorm"
    return Output(pool, 0, (note,))


def _of_heads(
    weights: Mapping[str, Tensor], width: int, head: str, kind: str, source: str
) -> tuple[Pool, int]:
    """Return the pool and the number of classes from the heads in the weights."""
    siglip = kind.startswith("siglip")
    two = [weights.get(f"{name}.weight") for name in ("cls_classifier", "distillation_classifier")]
    if kind == "deit" and two[0] is not None and two[1] is not None:
        if two[0].ndim != 2:
            raise ModelError(
                f"{source}: cls_classifier.weight is {list(two[0].shape)}, not [classes, {width}]"
            )
        return "token_dist", len(two[0])
    found = weights.get(f"{head}.weight")
    mean = siglip or kind in NO_CLASS_TOKEN
    if found is None:
        return ("attention" if siglip else "avg" if mean else "token"), 0
    if found.ndim != 2:
        raise ModelError(f"{source}: {head}.weight is {list(found.shape)}, not [classes, {width}]")
    if found.shape[-1] == width:
        return ("avg" if mean else "token"), len(found)
    if kind.startswith("dinov2") and found.shape[-1] == 2 * width:
        return "token_avg", len(found)
    raise ModelError(
        f"{source}: the head '{head}' reads {found.shape[-1]} features, which is not supported; "
        f"only a head on the {width} channels of the pooled token is"
    )


def output_of_swin(meta: Mapping[str, Any], classes: int, options: LoadOptions, source: str) -> None:
    """Check that p2vit computes a Swin's output: logits, or the mean of the last tokens.

    Args:
        meta: Content of config.json.
        classes: Outputs of the head in the weights; 0 without a head.
        options: Options of loading.
        source: Name of the source for error messages.

    Raises:
        ModelError: The class has several outputs, or an option contradicts the file.
    """
    stated = meta.get("architectures")
    name = str(stated[0]) if isinstance(stated, list | tuple) and stated else ""
    known = LOGITS["swin"] + FEATURES["swin"]
    if options.pool == "token":
        raise ModelError(f"{source}: --pool token: a Swin has no class token; omit --pool")
    if name and name not in known and options.pool is None:
        raise ModelError(
            f"{source}: config.json names the class {name}, whose output p2vit does not compute. Supported classes: "
            f"{', '.join(known)}. --pool avg takes the mean of its last tokens as a feature"
        )
    if name in LOGITS["swin"] and not classes:
        raise ModelError(
            f"{source}: config.json names the class {name}, but the weights have no head ('classifier')"
        )
