"""Load models that timm saved to the Hugging Face Hub, from timm's ``config.json`` and weights. timm is not needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from p2vit.errors import ModelError, some
from p2vit.models.architectures import Architecture, find, with_image_size
from p2vit.models.config import Activation, ViTConfig
from p2vit.models.loaded import FloatModel, assemble
from p2vit.models.options import LoadOptions
from p2vit.models.overrides import override_preprocessing
from p2vit.models.sources.checkpoint import as_timm_makes, canonical, own_size, with_distillation
from p2vit.models.sources.facts import MOST_CHANNELS, facts_of
from p2vit.models.sources.hf_numbers import MOST_SIDE
from p2vit.models.sources.locate import locate
from p2vit.models.sources.pool_choice import choose_pool
from p2vit.models.sources.timm_original import timm_original
from p2vit.models.sources.weight_file import Content

#: Arguments of timm's models that do not change the outputs, or that the shapes of the tensors determine.
HARMLESS = frozenset(
    [
        "img_size",
        "num_classes",
        "global_pool",
        "drop_rate",
        "drop_path_rate",
        "proj_drop_rate",
        "attn_drop_rate",
        "pos_drop_rate",
        "patch_drop_rate",
        "qkv_bias",
        "init_values",
        "fc_norm",
        "pretrained",
        "strict_img_size",
        "dynamic_img_size",
        "weight_init",
        "fix_init",
        "no_embed_class",
        "dynamic_img_pad",
        "proj_bias",
        "cache_dir",
        "use_rel_pos_bias",
        "use_shared_rel_pos_bias",
        "use_abs_pos_emb",
        "use_fc_norm",
        "head_init_scale",
    ]
)
#: Argument of timm's ViTs → field of `ViTConfig`.
SIZES = {
    "embed_dim": "embed_dim",
    "depth": "depth",
    "num_heads": "heads",
    "patch_size": "patch_size",
    "reg_tokens": "register_tokens",
}
#: Argument of timm's ViTs that is true or false → field of `ViTConfig`.
SWITCHES = {"class_token": "class_token", "pre_norm": "pre_norm"}
#: timm's name of an activation layer → activation.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "quickgelu": "quick_gelu",
}


def is_timm_config(meta: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` was written by timm.

    Args:
        meta: Content of the file.
    """
    return "architecture" in meta and "model_type" not in meta


def from_timm_hub(
    meta: Mapping[str, Any], weights: Mapping[str, Tensor], source: str, options: LoadOptions
) -> FloatModel:
    """Convert a model that timm saved to the canonical form.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors.
        source: Name of the source for error messages.
        options: Options of loading.

    Returns:
        The model, with the preprocessing that config.json states.

    Raises:
        ModelError: The model has an unsupported part, or its tensors do not fit config.json.
    """
    name = meta.get("architecture")
    if not isinstance(name, str) or not name:
        raise ModelError(f"{source}: config.json: architecture is {name!r}, but must be a model name of timm")
    arguments = _object(meta, "model_args", source)
    try:
        known = find(name)
        known = _sized(replace(known, config=as_timm_makes(known.config)), arguments)
    except ModelError as error:
        raise ModelError(f"{source}: config.json: {error}") from None
    found = locate(Content(dict(weights)), options.key, source)
    known, notes = with_distillation(known, found.state, source)
    config = known.config
    stated = _object(meta, "pretrained_cfg", source)
    pool = arguments.get("global_pool", meta.get("global_pool", "token"))
    if pool not in ("", "token", "avg", "map"):
        raise ModelError(f"{source}: config.json: pooling {pool!r} is not supported, only token, avg and map")
    if pool in ("token", "avg") and isinstance(config, ViTConfig) and config.pool in ("token", "avg"):
        if options.pool not in (None, pool):
            raise ModelError(
                f"{source}: --pool {options.pool} does not fit: config.json states the pool '{pool}'; omit --pool"
            )
        config, _ = choose_pool(config, found.state, replace(options, pool=pool), source)
    facts = facts_of(found.state, found.layout, source)
    # A table of 4 × 6 patches and a class token has as many rows as one of 5 × 5 patches, so what is stated goes first.
    try:
        stated_size = _image_size(arguments)
    except ModelError as error:
        raise ModelError(f"{source}: config.json: {error}") from None
    size = options.image_size or stated_size or own_size(facts, config, name)
    preprocessing = known.preprocessing
    if size is not None:
        config = with_image_size(config, size)
        preprocessing = preprocessing.for_size(config.image_size)
    keys = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
    try:
        preprocessing = override_preprocessing(
            preprocessing, **{key: stated[key] for key in keys if stated.get(key) is not None}
        )
    except (ModelError, TypeError, ValueError) as error:
        raise ModelError(f"{source}: config.json: pretrained_cfg: {error}") from None
    config, state = canonical(found.state, found.layout, config, source)
    labels = meta.get("label_names") or ()
    names = (
        tuple(map(str, labels))
        if isinstance(labels, list | tuple) and len(labels) == config.num_classes
        else ()
    )
    data = {key: stated[key] for key in keys if stated.get(key) is not None}
    made = dict(arguments)
    return assemble(
        config,
        state,
        preprocessing,
        source=source,
        class_names=names,
        preprocessing_from="pretrained_cfg of config.json" if data else f"the usual values of {name}",
        notes=(*found.notes, *notes),
        original=timm_original(found.state, config, name, data, made),
    )


def _sized(known: Architecture, arguments: Mapping[str, Any]) -> Architecture:
    """Return an architecture with the sizes that config.json states in ``model_args``."""
    config = known.config
    arguments = {name: value for name, value in arguments.items() if value is not None}
    changes: dict[str, Any] = {ours: arguments[name] for name, ours in SIZES.items() if name in arguments}
    allowed = HARMLESS | {"in_chans"}
    if isinstance(config, ViTConfig):
        allowed |= {*SIZES, *SWITCHES, "mlp_ratio", "act_layer", "norm_layer"}
    if odd := sorted(set(arguments) - allowed):
        raise ModelError(f"model_args {some(odd)} are not supported")
    for name, value in changes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_CHANNELS:
            raise ModelError(
                f"model_args: {name} is {value!r}, but must be an integer from 0 to {MOST_CHANNELS}"
            )
    if isinstance(config, ViTConfig) and ("embed_dim" in changes or "mlp_ratio" in arguments):
        ratio = arguments.get("mlp_ratio", config.mlp_dim / config.embed_dim)
        if not isinstance(ratio, int | float) or not 0 < ratio <= MOST_CHANNELS:
            raise ModelError(
                f"model_args: mlp_ratio is {ratio!r}, but must be above 0 and at most {MOST_CHANNELS}"
            )
        changes["mlp_dim"] = int(changes.get("embed_dim", config.embed_dim) * ratio)
    changes |= _settings(arguments)
    if changes.get("patch_size"):
        # Any multiple of the new patch size; the file's position table later determines the image size.
        side = changes["patch_size"] * max(1, config.image_size[0] // changes["patch_size"])
        changes["image_size"] = (side, side)
    try:
        return replace(known, config=replace(config, **changes))
    except (ValueError, ZeroDivisionError) as error:
        raise ModelError(f"model_args: {error}") from None


def _image_size(arguments: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the image size that ``model_args`` state, (height, width), or None."""
    value = arguments.get("img_size")
    sides = [value, value] if isinstance(value, int) else value
    if sides is None:
        return None
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        raise ModelError(f"model_args: img_size is {value!r}, but must be one or two numbers of pixels")
    for side in sides:
        if not isinstance(side, int) or isinstance(side, bool) or not 0 < side <= MOST_SIDE:
            raise ModelError(f"model_args: img_size is {value!r}, but must be from 1 to {MOST_SIDE} pixels")
    return sides[0], sides[1]


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `ViTConfig` that ``model_args`` state and that are not sizes."""
    if (channels := arguments.get("in_chans", 3)) != 3:
        raise ModelError(f"model_args: in_chans is {channels!r}, only 3 is supported")
    if (norm := arguments.get("norm_layer", "layernorm")) != "layernorm":
        raise ModelError(f"model_args: norm_layer is {norm!r}, only 'layernorm' is supported")
    changes: dict[str, Any] = {}
    for name, ours in SWITCHES.items():
        if name in arguments:
            if not isinstance(arguments[name], bool):
                raise ModelError(f"model_args: {name} is {arguments[name]!r}, but must be true or false")
            changes[ours] = arguments[name]
    if changes.get("class_token") is False and arguments.get("global_pool") == "avg":
        changes["pool"] = "avg"
    if "act_layer" in arguments:
        activation = arguments["act_layer"]
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ModelError(
                f"model_args: act_layer is {activation!r}, which is not supported. Supported: {', '.join(ACTIVATIONS)}"
            )
        changes["activation"] = ACTIVATIONS[activation]
    return changes


def _object(meta: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    """Return an object in config.json, empty if it is missing."""
    value = meta.get(key) or {}
    if not isinstance(value, Mapping):
        raise ModelError(f"{source}: config.json: {key} is {type(value).__name__}, but must be an object")
    return value
