"""The pool of a weight file: what its tensors settle beside its architecture's name, and what only an option can."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from p2vit.errors import ModelError
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.options import LoadOptions
from p2vit.models.sources.hf_layout import FAMILIES, family_of
from p2vit.models.sources.timm_layout import is_timm


def settle_pool(
    config: ModelConfig, state: Mapping[str, Tensor], options: LoadOptions, source: str
) -> tuple[ModelConfig, tuple[str, ...]]:
    """Settle what is read of the last tokens.

    Args:
        config: The architecture's shape, with the file's distillation token.
        state: The file's tensors, in any supported layout, without prefixes and wrappers.
        options: What the user stated.
        source: Named in errors.

    Returns:
        The shape with the file's pool (and the architecture's number of classes), and what was assumed, for people.

    Raises:
        ModelError: the file and an option contradict each other.
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
    """The pool of a file in timm's layout."""
    if config.pool == "token_dist":
        if "head_dist.weight" not in state:
            raise ModelError(
                f"{source}: {config.name} averages two heads, 'head' and 'head_dist', and the file has no 'head_dist'; "
                "name the architecture without '_distilled' if it has no distillation token"
            )
        if options.pool is not None:
            raise ModelError(
                f"{source}: --pool {options.pool}: a distilled DeiT reads its class and distillation token"
            )
        return config
    if config.pool == "attention" and any(key.startswith("attn_pool.") for key in state):
        if options.pool is not None:
            raise ModelError(
                f"{source}: --pool {options.pool}: the file has an attention pooling head (attn_pool)"
            )
        return config
    if "fc_norm.weight" in state:
        if options.pool == "token":
            raise ModelError(
                f"{source}: --pool token: the file has 'fc_norm', which timm puts behind the average of the patches"
            )
        return replace(config, pool="avg", pool_before_norm=True)
    if options.pool is not None:
        return replace(config, pool=options.pool, pool_before_norm=False)
    what = "the class token" if config.pool == "token" else "the average of the patches"
    other = "avg" if config.pool == "token" else "token"
    if config.class_token:
        notes.append(
            f"{source}: assumed that {what} is read, as {config.name} usually does; the names in the file cannot tell. "
            f"--pool {other} reads the other"
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
    """The pool of a file in transformers' layout: of its classifier, which is always the same for a family."""
    head = state.get(f"{FAMILIES[family].head}.weight")
    settled = ""
    if "cls_classifier.weight" in state:
        config, settled = replace(config, pool="token_dist"), "its two classifiers are averaged"
    elif head is not None and head.ndim == 2 and head.shape[1] == 2 * config.embed_dim:
        config, settled = (
            replace(config, pool="token_avg"),
            "its classifier reads class token and mean of the patches",
        )
    elif head is not None and family == "siglip":
        config, settled = replace(config, pool="avg"), "its classifier reads the mean of the patches"
    elif head is not None and family != "clip":
        config, settled = replace(config, pool="token"), "its classifier reads the class token"
    elif config.pool == "attention":
        settled = "it has an attention pooling head"
    elif head is not None:
        settled = "its projection reads the class token"
    if settled and options.pool not in (None, config.pool):
        raise ModelError(f"{source}: --pool {options.pool}: {settled}")
    if settled:
        return config
    pool = options.pool or "token"
    if options.pool is None:
        notes.append(f"{source} has no head: its feature is the class token after the last LayerNorm; --pool avg "
                     "takes the mean of the patches")  # fmt: skip
    return replace(
        config, pool=pool, num_classes=0 if config.pool.startswith("token_") else config.num_classes
    )


def _stated_pool(config: ModelConfig, options: LoadOptions, source: str) -> ModelConfig:
    """What --pool says of a model that is in no library's layout."""
    if config.pool == options.pool or options.pool is None:
        return config
    if not isinstance(config, ViTConfig) or config.pool not in ("token", "avg"):
        raise ModelError(
            f"{source}: --pool {options.pool}: {config.name} has a pool of its own ('{config.pool}')"
        )
    return replace(config, pool=options.pool, pool_before_norm=False)
