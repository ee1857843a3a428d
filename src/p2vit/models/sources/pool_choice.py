"""Choose the pool of a weight file from its architecture, its tensors and the options."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.options import LoadOptions
from p2vit.models.sources.hf_classes import MEAN_NORM, NO_CLASS_TOKEN
from p2vit.models.sources.hf_layout import FAMILIES, family_of
from p2vit.models.sources.timm_layout import is_timm


def choose_pool(
    config: ModelConfig, state: Mapping[str, Tensor], options: LoadOptions, source: str
) -> tuple[ModelConfig, tuple[str, ...]]:
    """Choose how the feature is made of the last tokens.

    Args:
        config: Shape of the architecture, with the file's distillation token.
        state: Tensors of the file, in any supported layout, without prefixes and wrappers.
        options: Options of loading.
        source: Name of the source for error messages.

    Returns:
        (shape with the file's pool and the architecture's number of classes, notes on what was assumed).

    Raises:
        ModelError: An option contradicts the file, or the file lacks a head that the architecture needs.
    """
    notes: list[str] = []
    try:
        if isinstance(config, ViTConfig) and is_timm(state):
            config = _timm_pool(config, state, options, source, notes)
        elif isinstance(config, ViTConfig) and (family := family_of(state)):
            config = _hf_pool(config, family, state, options, source, notes)
        elif options.pool is not None:
            config = _stated_pool(config, options, source)
    except ValueError as error:
        raise ModelError(f"{source}: {error}") from None
    return config, tuple(notes)


def _timm_pool(
    config: ViTConfig, state: Mapping[str, Tensor], options: LoadOptions, source: str, notes: list[str]
) -> ViTConfig:
    """Choose the pool of a file in timm's layout."""
    if config.pool == "token_dist":
        if "head_dist.weight" not in state:
            raise ModelError(
                f"{source}: {config.name} averages two heads, 'head' and 'head_dist', but the file has no 'head_dist'; "
                "if the model has no distillation token, name the architecture without '_distilled'"
            )
        if options.pool is not None:
            raise ModelError(
                f"{source}: --pool {options.pool} does not fit: a distilled DeiT reads its class and distillation "
                "token; omit --pool"
            )
        return config
    if config.pool == "attention" and any(key.startswith("attn_pool.") for key in state):
        if options.pool is not None:
            raise ModelError(
                f"{source}: --pool {options.pool} does not fit: the file has an attention pooling head (attn_pool); "
                "omit --pool"
            )
        return config
    if "fc_norm.weight" in state:
        if options.pool == "token":
            raise ModelError(
                f"{source}: --pool token does not fit: the file has 'fc_norm', which timm applies to the mean of the "
                "patches; omit --pool"
            )
        return replace(config, pool="avg", pool_before_norm=True)
    config = replace(config, pool_before_norm=False)
    if options.pool is not None:
        return replace(config, pool=options.pool)
    mean, token = "the mean of the patches", "the class token"
    feature, rest = (token, mean) if config.pool == "token" else (mean, token)
    other = "avg" if config.pool == "token" else "token"
    if config.class_token:
        notes.append(
            f"{source}: assumed that the head reads {feature}, as is usual for {config.name}; the file does not say. "
            f"--pool {other} selects {rest}"
        )
    return config


def _hf_pool(
    config: ViTConfig,
    family: str,
    state: Mapping[str, Tensor],
    options: LoadOptions,
    source: str,
    notes: list[str],
) -> ViTConfig:
    """Choose the pool of a file in transformers' layout. If it has a classifier, the family determines the pool."""
    head = state.get(f"{FAMILIES[family].head}.weight")
    reason = ""
    if family in MEAN_NORM:
        before = any(key.endswith("pooler.layernorm.weight") for key in state)
        config = replace(config, pool="avg" if before else "token", pool_before_norm=before)
        reason = f"its last LayerNorm is for {'the mean of the patches' if before else 'all tokens'}"
    elif "cls_classifier.weight" in state:
        config, reason = replace(config, pool="token_dist"), "its two classifiers are averaged"
    elif head is not None and head.ndim == 2 and head.shape[1] == 2 * config.embed_dim:
        config, reason = (
            replace(config, pool="token_avg"),
            "its classifier reads class token and mean of the patches",
        )
    elif head is not None and family in ("siglip", *NO_CLASS_TOKEN):
        config, reason = replace(config, pool="avg"), "its classifier reads the mean of the patches"
    elif head is not None and family != "clip":
        config, reason = replace(config, pool="token"), "its classifier reads the class token"
    elif config.pool == "attention":
        reason = "it has an attention pooling head"
    elif head is not None:
        reason = "its projection reads the class token"
    if reason and options.pool not in (None, config.pool):
        raise ModelError(f"{source}: --pool {options.pool} does not fit: {reason}; omit --pool")
    if reason:
        return config
    pool = options.pool or "token"
    if options.pool is None:
        notes.append(f"{source} has no head: its feature is the class token after the last LayerNorm; --pool avg "
                     "takes the mean of the patches")  # fmt: skip
    return replace(
        config, pool=pool, num_classes=0 if config.pool.startswith("token_") else config.num_classes
    )


def _stated_pool(config: ModelConfig, options: LoadOptions, source: str) -> ModelConfig:
    """Apply --pool to a model that is not in a library's layout."""
    if config.pool == options.pool or options.pool is None:
        return config
    if not isinstance(config, ViTConfig) or config.pool not in ("token", "avg"):
        raise ModelError(
            f"{source}: --pool {options.pool} does not fit: {config.name} always uses the pool '{config.pool}'; "
            "omit --pool"
        )
    return replace(config, pool=options.pool, pool_before_norm=False)
