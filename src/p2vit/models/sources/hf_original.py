"""Make the transformers model of a repository or a weight file and its (slow) image processor, for the comparison."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, Original
from p2vit.models.options import LoadOptions
from p2vit.models.sources.hf_backbone import backbone_forward
from p2vit.models.sources.hf_classes import MEAN_NORM
from p2vit.models.sources.hf_processor import FAST_ONLY, FILE, kind_name
from p2vit.models.sources.hf_zero_shot import original_forward
from p2vit.models.sources.relative_position import TABLE, grid_side
from p2vit.models.swin_config import SwinConfig

#: model_type -> common prefix of its class names.
STEMS = {
    "vit": "ViT",
    "deit": "DeiT",
    "swin": "Swin",
    "dinov2": "Dinov2",
    "dinov2_with_registers": "Dinov2WithRegisters",
    "dinov3_vit": "DINOv3ViT",
    "clip": "CLIP",
    "clip_vision_model": "CLIP",
    "siglip": "Siglip",
    "siglip_vision_model": "Siglip",
    "vit_mae": "ViTMAE",
    "vit_msn": "ViTMSN",
    "ijepa": "IJepa",
    "beit": "Beit",
    "data2vec-vision": "Data2VecVision",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu", "silu": "silu"}


def hf_original(
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    processor: Mapping[str, Any] | None,
    config: ModelConfig,
    source: str,
) -> Original:
    """Make the recipe for transformers' model of a repository.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors. The recipe keeps them until the model is built.
        processor: Content of preprocessor_config.json, or None if there is none. Pixels are not compared then.
        config: Shape of the network.
        source: Name of the source for error messages.
    """

    def build(options: LoadOptions) -> Built:
        transformers = import_library("transformers")
        model = build_model(transformers, meta, weights, config)
        stated = options.preparation or options.image_size is not None
        fast = processor is not None and kind_name(processor, meta["model_type"], source) in FAST_ONLY
        if processor is None or stated or fast:
            return output_of(model, meta, config), None
        return output_of(model, meta, config), preparer(processor, meta["model_type"], source)

    return Original("transformers", build)


def embedding_original(
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    processor: Mapping[str, Any] | None,
    home: str,
    config: ViTConfig,
    source: str,
) -> Original:
    """How to make transformers' two-tower model of a repository: its logits per image, or its image embedding.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors, of both towers.
        processor: Content of preprocessor_config.json, or None.
        home: Folder or repository that holds the tokenizer.
        config: Shape with ``embedding_dim``.
        source: Name of the source for error messages.
    """

    def build(options: LoadOptions) -> Built:
        forward = original_forward(meta, weights, home, config, source)(options)
        if processor is None or options.preparation or options.image_size is not None:
            return forward, None
        return forward, preparer(processor, meta["model_type"], source)

    return Original("transformers", build)


def backbone_original(
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    processor: Mapping[str, Any] | None,
    layers: tuple[int, ...],
    source: str,
) -> Original:
    """How to make transformers' backbone of a repository; its feature maps are compared.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors.
        processor: Content of preprocessor_config.json, or None.
        layers: Blocks whose patch tokens are put out.
        source: Name of the source for error messages.
    """

    def build(options: LoadOptions) -> Built:
        forward = backbone_forward(meta, weights, layers)
        if processor is None or options.preparation or options.image_size is not None:
            return forward, None
        return forward, preparer(processor, meta["model_type"], source)

    return Original("transformers", build, layers)


def preparer(processor: Mapping[str, Any], model_type: str, source: str) -> Callable[[Any], Tensor]:
    """Make the (slow) image processor of a repository.

    Args:
        processor: Content of preprocessor_config.json.
        model_type: Value of model_type in config.json.
        source: Name of the source for error messages.

    Returns:
        Function from a photo to float [3, H, W].
    """
    kind = getattr(import_library("transformers"), kind_name(processor, model_type, f"{source}: {FILE}"))
    prepare = kind.from_dict(dict(processor))
    return lambda photo: prepare(photo, return_tensors="pt")["pixel_values"][0]


def file_original(state: Mapping[str, Tensor], config: ModelConfig, model_type: str) -> Original:
    """Make the recipe for transformers' model of a weight file that has no config.json.

    Args:
        state: transformers' names -> tensors.
        config: Shape of the network.
        model_type: A key of `STEMS`.
    """
    meta = meta_of(config, model_type, state)
    if model_type in ("clip", "siglip"):
        # Their configuration keeps the tower's shape one level below; without it, transformers takes its own default.
        meta["vision_config"] = {key: value for key, value in meta.items() if key != "model_type"}
    return hf_original(meta, state, None, config, "")


def meta_of(config: ModelConfig, model_type: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write the content of config.json for a shape, as transformers would.

    Args:
        config: Shape of the network.
        model_type: A key of `STEMS`.
        state: transformers' names -> tensors; the size of the position table is read from them.
    """
    meta: dict[str, Any] = {
        "model_type": model_type,
        "hidden_act": ACTIVATIONS[config.activation],
        "layer_norm_eps": config.norm_eps,
        "patch_size": config.patch_size,
        "image_size": config.image_size[0],
        "num_labels": max(config.num_classes, 1),
    }
    if isinstance(config, SwinConfig):
        window = config.window if isinstance(config.window, int) else config.window[0][0]
        return meta | {
            "embed_dim": config.embed_dim,
            "depths": list(config.depths),
            "num_heads": list(config.heads),
            "window_size": window,
            "mlp_ratio": config.mlp_ratio,
        }
    if model_type == "dinov3_vit":
        return meta | {
            "hidden_size": config.embed_dim,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.heads,
            "intermediate_size": config.mlp_dim,
            "num_register_tokens": config.register_tokens,
            "rope_theta": config.rope_temperature,
            "use_gated_mlp": config.gated_mlp,
            "key_bias": "layer.0.attention.k_proj.bias" in state,
            "query_bias": "layer.0.attention.q_proj.bias" in state,
            "value_bias": "layer.0.attention.v_proj.bias" in state,
        }
    if model_type in MEAN_NORM:
        return meta | _meta_of_beit(config, state)
    table = next(value for key, value in state.items() if "position_embedding" in key)
    patches = table.numel() // config.embed_dim
    # The table has one or two rows for prefix tokens; rounding the square root down ignores them.
    side = math.isqrt(patches)
    return meta | {
        "image_size": side * config.patch_size,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_dim,
        # A gated MLP is two thirds as wide as the ratio says, and rounded up to a multiple of 8.
        "mlp_ratio": config.mlp_dim * (1.5 if config.gated_mlp else 1) / config.embed_dim,
        "use_swiglu_ffn": config.gated_mlp,
        "num_register_tokens": config.register_tokens,
        "projection_dim": config.num_classes or 512,
    }


def _meta_of_beit(config: ViTConfig, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write what config.json of a BEiT states beside the fields of all families."""
    tables = {name: value for name, value in state.items() if name.endswith(TABLE)}
    shared = {name for name in tables if ".layer." not in name}
    side = next((grid_side(len(value)) for value in tables.values()), None)
    return {
        "image_size": (side or config.grid[0]) * config.patch_size,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_dim,
        "use_mean_pooling": config.pool_before_norm,
        "use_absolute_position_embeddings": any("position_embeddings" in name for name in state),
        "use_relative_position_bias": len(tables) > len(shared),
        "use_shared_relative_position_bias": bool(shared),
        "use_mask_token": any(name.endswith("mask_token") for name in state),
        # Any value above 0 makes the factors, whose values come from the weights.
        "layer_scale_init_value": 0.1 if any(name.endswith("lambda_1") for name in state) else 0,
    }


def class_name(meta: Mapping[str, Any], weights: Mapping[str, Tensor], config: ModelConfig) -> str:
    """Return the transformers class for a repository's weights. For CLIP and SigLIP, this is the vision tower alone."""
    stem, kind = STEMS[meta["model_type"]], meta["model_type"]
    if kind.startswith("clip"):
        return "CLIPVisionModelWithProjection" if config.num_classes else "CLIPVisionModel"
    if kind.startswith("siglip"):
        return "SiglipForImageClassification" if config.num_classes else "SiglipVisionModel"
    if "cls_classifier.weight" in weights:
        return "DeiTForImageClassificationWithTeacher"
    return f"{stem}ForImageClassification" if config.num_classes else f"{stem}Model"


def build_model(
    transformers: Any, meta: Mapping[str, Any], weights: Mapping[str, Tensor], config: ModelConfig
) -> Any:
    """Make the module of transformers with the weights, in eval mode."""
    name = class_name(meta, weights, config)
    cls = getattr(transformers, name)
    whole = transformers.models.auto.configuration_auto.CONFIG_MAPPING[meta["model_type"]].from_dict(
        dict(meta)
    )
    if name.endswith(("VisionModel", "VisionModelWithProjection")) and hasattr(whole, "vision_config"):
        whole = whole.vision_config
        if "projection_dim" in meta:
            whole.projection_dim = meta["projection_dim"]
    head = (
        ("visual_projection",) if name.endswith("WithProjection") else ("classifier", "cls_", "distillation_")
    )
    if meta["model_type"] == "vit_mae":
        # The decoder of a model for pre-training is not part of the encoder's class.
        weights = {k.removeprefix("vit."): v for k, v in weights.items() if not k.startswith("decoder.")}
    if name.startswith("CLIP") or name == "SiglipVisionModel":
        weights = {k: v for k, v in weights.items() if k.startswith(("vision_model", *head))}
    if "num_labels" in meta and config.num_classes:
        whole.num_labels = config.num_classes
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        tensors = {key: value.float() for key, value in weights.items()}
        # By default, this class leaves out the LayerNorm of the mean.
        extra = {"add_pooling_layer": True} if name == "Data2VecVisionModel" else {}
        model = cls.from_pretrained(None, config=whole, state_dict=tensors, **extra)
    finally:
        logging.set_verbosity(before)
    return model.eval()


def output_of(model: Any, meta: Mapping[str, Any], config: ModelConfig) -> Callable[[Tensor], Tensor]:
    """Return a function that computes the module's output that p2vit computes too: logits, or the pooled feature."""
    square = (config.image_size[0],) * 2 == config.image_size
    vision = (
        {**meta, **meta.get("vision_config", {})} if isinstance(meta.get("vision_config"), Mapping) else meta
    )
    usual = vision.get("image_size", 224)
    resized = not square or usual not in (config.image_size[0], list(config.image_size))
    options = {}
    if resized and "interpolate_pos_encoding" in inspect.signature(model.forward).parameters:
        options["interpolate_pos_encoding"] = True
    kind = type(model).__name__
    run = unmasked(model) if kind.startswith("ViTMAE") else model

    def forward(x: Tensor) -> Tensor:
        found = run(x, **options)
        for field in ("logits", "image_embeds"):
            if field in found:
                return found[field]
        tokens = found["last_hidden_state"]
        if isinstance(config, ViTConfig) and config.pool == "avg" and not config.pool_before_norm:
            return tokens[:, config.prefix_tokens :].mean(dim=1)
        # ViT and DeiT of transformers have a pooler layer, trained for another task. p2vit ignores it.
        plain = kind in ("ViTModel", "DeiTModel", "ViTMSNModel") or kind.startswith("ViTMAE")
        plain = plain or found.get("pooler_output") is None
        return tokens[:, 0] if plain else found["pooler_output"]

    return forward


def unmasked(model: Any) -> Callable[..., Any]:
    """Return a function that runs the encoder of a masked autoencoder on all patches, in their order.

    Args:
        model: ``ViTMAEModel`` or ``ViTMAEForPreTraining``. Its masking ratio is changed during a call only.
    """
    encoder = getattr(model, "vit", model)

    def run(x: Tensor, **options: Any) -> Any:
        shape, patch = encoder.config, encoder.config.patch_size
        before, shape.mask_ratio = shape.mask_ratio, 0.0
        try:
            order = torch.arange((x.shape[-2] // patch) * (x.shape[-1] // patch), device=x.device)
            return encoder(x, noise=order.expand(len(x), -1).float(), **options)
        finally:
            shape.mask_ratio = before

    return run
