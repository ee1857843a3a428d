"""Load timm's pretrained ViTs with timm's own loading code."""

from typing import Any, get_args

from torch import nn

from p2vit.errors import MissingPackageError, ModelError, P2vitError, did_you_mean
from p2vit.models.architectures import ARCHITECTURES, Architecture, find, with_fields
from p2vit.models.config import ModelConfig, ViTConfig
from p2vit.models.libraries import first_line as _first_line
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, FloatModel, Original, assemble
from p2vit.models.options import LoadOptions
from p2vit.models.overrides import override_preprocessing
from p2vit.models.sources.swin_layout import TIMM, canonical_from_swin
from p2vit.models.sources.timm_beit import beit_config
from p2vit.models.sources.timm_blocks import activation_of, check_blocks, gated, pool_heads
from p2vit.models.sources.timm_eva import eva_config
from p2vit.models.sources.timm_layout import canonical_from_timm
from p2vit.models.sources.timm_original import pipeline
from p2vit.models.swin_config import SwinConfig
from p2vit.models.windows import Windows
from p2vit.program.preprocessing import Interpolation, Preprocessing

FILTERS = get_args(Interpolation)


def load_timm(name: str, *, image_size: int | tuple[int, int] | None = None) -> FloatModel:
    """Load a pretrained model by timm's name, e.g. ``deit_tiny_patch16_224.fb_in1k``.

    Args:
        name: timm's name of the model, with or without the tag of its weights.
        image_size: Image size in pixels, if not the model's own. timm resamples the position embeddings.

    Returns:
        The model, with timm's preprocessing for evaluation.

    Raises:
        MissingPackageError: timm is not installed.
        ModelError: There is no such model, its weights cannot be downloaded, or it has an unsupported part.
    """
    timm = _timm()
    # list_models gives names without tags, and with pretrained=True names with tags such as .augreg_in1k.
    known = timm.list_models("*") + timm.list_models("*", pretrained=True)
    if name not in known:
        raise ModelError(f"no model '{name}' in timm {timm.__version__}.{did_you_mean(name, known)}")
    options = {} if image_size is None else {"img_size": image_size}
    try:
        model = timm.create_model(name, pretrained=True, **options)
    except TypeError as error:
        raise ModelError(f"timm's {name} does not take an image size ({error}); omit --image-size") from None
    except Exception as error:  # the network, the cache and the Hub raise many kinds of exceptions
        raise ModelError(
            f"cannot download the weights of timm's '{name}': {_first_line(error)}. timm gets them from the Hugging "
            f"Face Hub. Without network access, copy model.safetensors of the repository timm/{name} to this machine "
            f"and pass the file with --arch {name.split('.')[0]}"
        ) from None
    return from_timm_model(model.eval(), name)


def architecture_of(name: str) -> Architecture:
    """Look up an architecture, with or without the tag of its weights.

    A tag that p2vit does not know is looked up in the installed timm, which may be newer.

    Args:
        name: An architecture, or ``ARCHITECTURE.TAG``.

    Returns:
        The architecture, with the preprocessing of the tag.

    Raises:
        ModelError: There is no such architecture, or no such tag.
    """
    try:
        return find(name)
    except ModelError:
        plain, _, tag = name.partition(".")
        if plain not in ARCHITECTURES or not tag:
            raise
        try:
            timm = import_library("timm")
        except P2vitError:
            timm = None
        known = timm and timm.models.get_pretrained_cfg(name, allow_unregistered=False)
        if not known:
            raise
        data = timm.data.resolve_data_config(pretrained_cfg=known.to_dict())
        stated = {field: data[field] for field in ("mean", "std", "crop_pct", "crop_mode", "interpolation")}
        _check_data(stated, name)
        return with_fields(ARCHITECTURES[plain], tag, stated)


def _check_data(data: dict[str, Any], name: str) -> None:
    """Refuse crop modes and filters that p2vit does not have."""
    if data["crop_mode"] not in ("center", "squash"):
        raise ModelError(
            f"timm's {name}: crop mode '{data['crop_mode']}' is not supported, only center and squash"
        )
    if data["interpolation"] not in FILTERS:
        raise ModelError(
            f"timm's {name}: interpolation '{data['interpolation']}' is not supported. Supported: {', '.join(FILTERS)}"
        )


def from_timm_model(model: nn.Module, name: str) -> FloatModel:
    """Convert a timm model to the canonical form.

    Args:
        model: A timm model. Only plain ViTs and Swins are supported.
        name: timm's name of the model.

    Returns:
        The model.

    Raises:
        ModelError: The model has an unsupported part. The message names it.
    """
    timm = _timm()
    config = config_from_timm(model, name)
    data = timm.data.resolve_model_data_config(model)
    _check_data(data, name)
    fields = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
    preprocessing = override_preprocessing(
        Preprocessing(image_size=config.image_size), **{field: data[field] for field in fields}
    )
    if isinstance(config, SwinConfig):
        state = canonical_from_swin(model.state_dict(), config, TIMM, f"timm's {name}")
    else:
        state = canonical_from_timm(model.state_dict(), config, f"timm's {name}", from_file=False)

    def build(options: LoadOptions) -> Built:
        return model, pipeline(timm, model, config.image_size, options.preparation)

    return assemble(
        config,
        state,
        preprocessing,
        source=name,
        preprocessing_from="timm's configuration of the model",
        original=Original("timm", build),
    )


def config_from_timm(model: nn.Module, name: str) -> ModelConfig:
    """Read the shape of a timm model, and refuse settings that the canonical form cannot express.

    This function refuses settings that tensor names do not show. `canonical_from_timm` refuses the others, such as
    gated MLPs and normalised queries.

    Args:
        model: A timm model.
        name: timm's name of the model.

    Returns:
        The shape.

    Raises:
        ModelError: The model has an unsupported part. The message names it.
    """
    kind = type(model).__name__
    try:
        if kind == "SwinTransformer":
            return _swin_config(model, name)
        if kind in ("VisionTransformer", "VisionTransformerDistilled"):
            return _vit_config(model, name)
        if kind == "Eva":
            return eva_config(model, name)
        if kind == "Beit":
            return beit_config(model, name)
    except ValueError as error:
        raise ModelError(f"timm's {error}") from None
    raise ModelError(
        f"timm's {name} is a {kind}, which is not supported, only plain Vision Transformers (VisionTransformer, Eva, "
        "Beit) and Swins (SwinTransformer)"
    )


def _swin_config(model: nn.Module, name: str) -> SwinConfig:
    """Read the shape of timm's SwinTransformer."""
    swin: Any = model
    first = swin.layers[0].blocks[0]
    if swin.head.global_pool.pool_type != "avg":
        raise ModelError(
            f"timm's {name}: pooling '{swin.head.global_pool.pool_type}' is not supported, only avg"
        )
    blocks = [block for stage in swin.layers for block in stage.blocks]
    if any(block.always_partition for block in blocks):
        raise ModelError(f"timm's {name}: windows larger than the grid (always_partition) are not supported")
    if any(block.attn.qkv.out_features != 3 * block.dim for block in blocks):
        raise ModelError(
            f"timm's {name}: attention with a width different from the residual stream (head_dim) is not supported"
        )
    for norm in (swin.patch_embed.norm, swin.norm, first.norm1):
        if not isinstance(norm, nn.LayerNorm):
            raise ModelError(f"timm's {name}: {type(norm).__name__} is not supported, only LayerNorm")
    height, width = swin.patch_embed.img_size
    config = SwinConfig(
        name=name,
        embed_dim=first.dim,
        depths=tuple(len(stage.blocks) for stage in swin.layers),
        heads=tuple(stage.blocks[0].attn.num_heads for stage in swin.layers),
        image_size=(height, width),
        patch_size=swin.patch_embed.patch_size[0],
        window=tuple(tuple(size) for size in swin._ref_window_sizes),
        mlp_ratio=first.mlp.fc1.out_features / first.dim,
        num_classes=swin.head.fc.out_features if isinstance(swin.head.fc, nn.Linear) else 0,
        activation=activation_of(first.mlp.act, name),
        norm_eps=first.norm1.eps,
    )
    for number, (block, shape) in enumerate(zip(blocks, config.blocks, strict=True)):
        windows = shape.windows
        if not isinstance(windows, Windows) or (tuple(block.window_size), tuple(block.shift_size)) != (
            windows.size,
            windows.shift,
        ):
            raise ModelError(
                f"timm's {name}: block {number} has windows of {tuple(block.window_size)} shifted by "
                f"{tuple(block.shift_size)}, which is not supported"
            )
    return config


def _vit_config(model: nn.Module, name: str) -> ViTConfig:
    """Read the shape of timm's VisionTransformer."""
    vit: Any = model
    if not isinstance(vit.head, nn.Linear | nn.Identity):
        raise ModelError(f"timm's {name}: a head of type {type(vit.head).__name__} is not supported")
    if vit.global_pool not in ("token", "avg", "map"):
        raise ModelError(
            f"timm's {name}: pooling '{vit.global_pool}' is not supported, only token, avg and map"
        )
    if vit.global_pool != "token" and vit.pool_include_prefix:
        raise ModelError(f"timm's {name}: pooling that includes class and register tokens is not supported")
    block = vit.blocks[0]
    if type(block).__name__ != "Block":
        raise ModelError(f"timm's {name}: blocks of type {type(block).__name__} are not supported")
    distilled = type(vit).__name__ == "VisionTransformerDistilled"
    if distilled and not isinstance(vit.head_dist, nn.Linear):
        raise ModelError(f"timm's {name}: a distilled DeiT without its two heads is not supported")
    before = isinstance(vit.norm, nn.Identity)
    last = vit.fc_norm if before else vit.norm
    if not isinstance(last, nn.LayerNorm) or not isinstance(block.norm1, nn.LayerNorm):
        odd = block.norm1 if isinstance(last, nn.LayerNorm) else last
        raise ModelError(f"timm's {name}: {type(odd).__name__} is not supported, only LayerNorm")
    if not before and not isinstance(vit.fc_norm, nn.Identity):
        raise ModelError(f"timm's {name}: two norms before the head are not supported")
    check_blocks(vit, last, name)
    height, width = vit.patch_embed.img_size
    return ViTConfig(
        name=name,
        image_size=(height, width),
        patch_size=vit.patch_embed.patch_size[0],
        embed_dim=vit.embed_dim,
        depth=len(vit.blocks),
        heads=block.attn.num_heads,
        mlp_dim=block.mlp.fc2.in_features,
        gated_mlp=gated(block.mlp, name),
        num_classes=vit.head.out_features if isinstance(vit.head, nn.Linear) else 0,
        class_token=vit.cls_token is not None,
        register_tokens=vit.num_prefix_tokens - int(vit.cls_token is not None),
        activation=activation_of(block.mlp.act, name),
        pool="token_dist" if distilled else "attention" if vit.global_pool == "map" else vit.global_pool,
        pre_norm=not isinstance(vit.norm_pre, nn.Identity),
        pool_before_norm=before and vit.global_pool == "avg",
        norm_eps=block.norm1.eps,
        pool_heads=pool_heads(vit, name) if vit.global_pool == "map" else 0,
    )


def _timm() -> Any:
    """Import timm.

    Raises:
        MissingPackageError: timm is not installed.
        ModelError: timm is installed, but its import fails.
    """
    try:
        return import_library("timm")
    except MissingPackageError:
        raise MissingPackageError("timm", "a model by timm's name", "timm") from None
