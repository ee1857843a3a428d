"""Load ``hf:ORG/NAME``: models of the Hugging Face Hub, from config.json and weights, without transformers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from p2vit.errors import MissingPackageError, ModelError
from p2vit.models.architectures import with_image_size
from p2vit.models.config import Activation, ModelConfig, ViTConfig
from p2vit.models.loaded import FloatModel, assemble, weights_sha256
from p2vit.models.options import LoadOptions
from p2vit.models.sources.facts import check_sizes
from p2vit.models.sources.folder import WEIGHT_FILES
from p2vit.models.sources.hf_backbone import backbone_layers
from p2vit.models.sources.hf_classes import MEAN_NORM, NO_CLASS_TOKEN, Output, output_of, output_of_swin
from p2vit.models.sources.hf_layout import FAMILIES, canonical_from_hf
from p2vit.models.sources.hf_numbers import check_numbers
from p2vit.models.sources.hf_original import backbone_original, embedding_original, hf_original
from p2vit.models.sources.hf_processor import FILE, preprocessing_from_hf, usual_preprocessing
from p2vit.models.sources.hf_zero_shot import as_embedding, has_embedding, text_head
from p2vit.models.sources.layouts import find_roots
from p2vit.models.sources.locate import locate
from p2vit.models.sources.shards import read_content, read_json
from p2vit.models.sources.swin_layout import HUGGING_FACE, canonical_from_swin, head_classes
from p2vit.models.sources.timm_hub import from_timm_hub, is_timm_config
from p2vit.models.sources.weight_file import Content, tensors_in
from p2vit.models.swin_config import SwinConfig
from p2vit.program.preprocessing import Preprocessing

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
}
#: Prefixes of CLIP's and SigLIP's tensors that do not belong to the vision tower.
OTHER_TOWER = ("text_model.", "text_projection.", "logit_scale", "logit_bias")
#: Keys of config.json that give every block a relative position bias.
RELATIVE = ("use_relative_position_bias", "use_shared_relative_position_bias")
#: Options that together state the whole preprocessing.
ALL_OF_IT = ("mean", "std", "crop_pct", "crop_mode", "interpolation")


def load_huggingface(name: str, options: LoadOptions | None = None) -> FloatModel:
    """Load a model by its repository's name, or from a folder with a copy of the repository.

    Args:
        name: ``ORG/NAME``, or a folder with config.json and weights. The repository may be of transformers or timm.
        options: Options of loading.

    Returns:
        The model.

    Raises:
        MissingPackageError: ``huggingface_hub`` is not installed.
        ModelError: The model cannot be downloaded or read, or it is not a supported ViT.
    """
    options = options or LoadOptions()
    folder = Path(name) if Path(name).is_dir() else None
    if folder is not None:
        name = str(folder.resolve())  # the recorded path is also valid in another working directory
    meta = read_json(_fetch(name, folder, ("config.json",)))
    check_numbers(meta, f"hf:{name}: config.json")
    weights = tensors_in(read_content(_fetch_weights(name, folder)).value)
    if is_timm_config(meta):
        return from_timm_hub(meta, weights, f"hf:{name}", options)
    path = _fetch_or_none(name, folder, FILE)
    processor = None if path is None else read_json(path)
    return from_huggingface(meta, weights, processor, f"hf:{name}", options=options, home=name)


def from_huggingface(
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    processor: Mapping[str, Any] | None,
    source: str,
    *,
    options: LoadOptions | None = None,
    home: str = "",
) -> FloatModel:
    """Convert the content of a transformers repository to the canonical form.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors.
        processor: Content of preprocessor_config.json, or None.
        source: Name of the source for error messages.
        options: Options of loading.
        home: Folder or repository that holds the tokenizer, for zero-shot classification.

    Returns:
        The model.

    Raises:
        ModelError: The model has an unsupported part, or its tensors do not fit config.json.
    """
    options, both_towers, text = options or LoadOptions(), weights, None
    embedding = bool(options.classes or options.embedding)
    weights, left = _towers(weights, options, source)
    config, output = config_from_hf(meta, weights, source, options)
    check_sizes(weights, config, f"{source}: config.json", source)
    preprocessing, taken, notes = _preparation(processor, meta["model_type"], config, options, source)
    wanted = options.image_size if options.image_size is not None else preprocessing.image_size
    config = with_image_size(config, wanted)
    preprocessing = preprocessing.for_size(config.image_size)
    if isinstance(config, SwinConfig):
        state = canonical_from_swin(weights, config, HUGGING_FACE, source)
    else:
        state = canonical_from_hf(weights, config, meta["model_type"], source)
    original = hf_original(meta, weights, processor or None, config, source)
    if embedding and isinstance(config, ViTConfig) and has_embedding(config, meta["model_type"]):
        if options.classes:
            text = text_head(meta, both_towers, home, options, source)
        config, state = as_embedding(config, state, text, source)
        original = embedding_original(meta, both_towers, processor or None, home, config, source)
    if layers := backbone_layers(meta, config.depth, source):
        asked = f"layers={','.join(map(str, layers))}"
        original = backbone_original(meta, weights, processor or None, layers, source)
        notes = (*notes, f"{source} is a backbone: its feature maps are --output {asked}")
    labels = meta.get("id2label") or {}
    names = (
        tuple(str(labels[key]) for key in sorted(labels, key=int))
        if len(labels) == config.num_classes
        else ()
    )
    if text is not None and isinstance(options.classes, tuple):
        names = options.classes
    model = assemble(
        config,
        state,
        preprocessing,
        source=source,
        class_names=names,
        preprocessing_from=taken,
        notes=(*left, *output, *notes),
        original=original,
    )
    if layers:
        model = replace(model, outputs=(asked,))
    if text is None:
        return model
    return replace(model, text_sha256=text.sha256, sha256=weights_sha256(model.module, text.sha256))


def _towers(
    weights: Mapping[str, Tensor], options: LoadOptions, source: str
) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Return the vision encoder's tensors, and notes on what was left out beside the text tower."""
    weights = {name: value for name, value in weights.items() if not name.startswith(OTHER_TOWER)}
    if not find_roots(weights) and options.key is None:
        return weights, ()  # the error about missing tensors comes later, when the weights are read
    found = locate(Content(weights), options.key, source)
    return found.state, found.notes


def _preparation(
    processor: Mapping[str, Any] | None, kind: str, config: ModelConfig, options: LoadOptions, source: str
) -> tuple[Preprocessing, str, tuple[str, ...]]:
    """Return the preprocessing, where it was taken from, and notes on what was assumed."""
    if len(options.preparation) == len(ALL_OF_IT):
        return Preprocessing(image_size=config.image_size), "", ()  # the user states all of it
    if processor and options.crop_mode is not None:
        # --crop-mode replaces the sizes in the file; its other keys still apply.
        sizes = ("size", "crop_size", "do_resize", "do_center_crop", "crop_pct")
        rest = {key: value for key, value in processor.items() if key not in sizes}
        square = {
            "size": {"height": config.image_size[0], "width": config.image_size[1]},
            "do_center_crop": False,
        }
        found = preprocessing_from_hf(rest | square, kind, config.image_size, source)
        return found, FILE, ()
    if processor:
        return preprocessing_from_hf(processor, kind, config.image_size, source), FILE, ()
    usual = usual_preprocessing(kind, config.image_size)
    rgb = ", ".join(f"{value:g}" for value in usual.mean)
    note = (
        f"{source} has no {FILE}: assumed {usual.in_words}, mean {rgb}, the usual values of {kind}; change them with "
        "--image-size, --crop-mode, --crop-pct, --interpolation, --mean and --std"
    )
    return usual, f"the usual values of {kind}", (note,)


def config_from_hf(
    meta: Mapping[str, Any], weights: Mapping[str, Tensor], source: str, options: LoadOptions | None = None
) -> tuple[ModelConfig, tuple[str, ...]]:
    """Read the shape from config.json.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors; they show whether there is a head.
        source: Name of the source for error messages.
        options: Options of loading.

    Returns:
        (shape, notes on what was assumed).

    Raises:
        ModelError: The model has an unsupported part. The message names it.
    """
    options = options or LoadOptions()
    kind = meta.get("model_type", "nothing")
    if kind not in (*FAMILIES, "swin"):
        known = ", ".join([*FAMILIES, "swin"])
        flexible = (
            " (SigLIP 2 with images of any shape, NaFlex; those of a fixed size have the type 'siglip')"
        )
        which = flexible if kind == "siglip2" else ""
        raise ModelError(f"{source}: model type '{kind}'{which} is not supported. Supported types: {known}")
    vision = {**meta, **meta.get("vision_config", {})} if kind.startswith(("clip", "siglip")) else dict(meta)
    usual = "quick_gelu" if kind.startswith("clip") else "gelu_pytorch_tanh" if "siglip" in kind else "gelu"
    activation = vision.get("hidden_act", usual)
    if activation not in ACTIVATIONS:
        raise ModelError(
            f"{source}: activation '{activation}' is not supported. Supported activations: {', '.join(ACTIVATIONS)}"
        )
    if vision.get("use_swiglu_ffn") and not kind.startswith("dinov2"):
        raise ModelError(
            f"{source}: a gated MLP (SwiGLU, use_swiglu_ffn) in a model of type {kind} is not supported"
        )
    if vision.get("num_channels", 3) != 3:
        raise ModelError(f"{source}: {vision['num_channels']} colour channels are not supported, only 3")
    try:
        if kind == "swin":
            return _swin_config(vision, weights, ACTIVATIONS[activation], source, options), ()
        width = vision.get("hidden_size", 768)
        output = output_of(meta, weights, width, FAMILIES[kind].head, options, source)
        return _vit_config(kind, vision, weights, ACTIVATIONS[activation], source, output), output.notes
    except (TypeError, ValueError) as error:
        raise ModelError(f"{source}: config.json: {error}") from None


def _vit_config(
    kind: str,
    vision: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    activation: Activation,
    source: str,
    output: Output,
) -> ViTConfig:
    """Read the shape of a plain ViT. ``vision`` is config.json, overridden by its ``vision_config``."""
    clip, siglip = kind.startswith("clip"), kind.startswith("siglip")
    defaults = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224}
    shape = {**defaults, "patch_size": 32 if clip else 16, **vision}
    C = shape["hidden_size"]
    hidden = shape.get("intermediate_size", 3072 if siglip else 4 * C)
    if kind.startswith("dinov2"):
        hidden = int(C * shape.get("mlp_ratio", 4))
    dinov3 = kind == "dinov3_vit"
    gated = bool(shape.get("use_swiglu_ffn" if kind.startswith("dinov2") else "use_gated_mlp", False))
    if kind.startswith("dinov2") and gated:
        hidden, activation = (int(hidden * 2 / 3) + 7) // 8 * 8, "silu"
    registers = {
        "dinov3_vit": shape.get("num_register_tokens", 0),
        "deit": 1,
        "dinov2_with_registers": shape.get("num_register_tokens", 4),
    }
    pooled = any(key.endswith("head.probe") for key in weights)
    if siglip and not output.classes and not pooled:
        raise ModelError(
            f"{source}: a SigLIP tower without its pooling head (vision_use_head) is not supported"
        )
    relative = any(shape.get(key) for key in RELATIVE) and kind in MEAN_NORM
    size = _size(shape["image_size"]) or (224, 224)
    if relative and size[0] != size[1]:
        raise ModelError(
            f"{source}: relative position bias for images of {size[0]} × {size[1]} pixels is not supported, only for "
            "square ones"
        )
    fine = siglip or kind.startswith("dinov2") or kind == "vit_msn"
    epsilon = 1e-5 if clip or kind == "dinov3_vit" else 1e-6 if fine else 1e-12
    return ViTConfig(
        name=source.removeprefix("hf:"),
        image_size=size,
        patch_size=shape["patch_size"],
        embed_dim=C,
        depth=shape["num_hidden_layers"],
        heads=shape["num_attention_heads"],
        mlp_dim=hidden,
        num_classes=output.classes,
        class_token=not siglip and kind not in NO_CLASS_TOKEN,
        register_tokens=registers.get(kind, 0),
        activation=activation,
        pool=output.pool,
        pre_norm=clip,
        pool_before_norm=kind in MEAN_NORM and output.pool == "avg",
        norm_eps=shape.get("layer_norm_eps", epsilon),
        rope="dinov3" if dinov3 else "none",
        rope_temperature=float(shape.get("rope_theta", 100.0)) if dinov3 else 10000.0,
        gated_mlp=gated,
        relative_positions=relative,
    )


def _swin_config(
    shape: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    activation: Activation,
    source: str,
    options: LoadOptions,
) -> SwinConfig:
    """Read the shape of a Swin."""
    classes = head_classes(weights, HUGGING_FACE)
    output_of_swin(shape, classes, options, source)
    if shape.get("use_absolute_embeddings"):
        raise ModelError(f"{source}: absolute position embeddings in a Swin are not supported")
    if shape.get("layer_norm_eps", 1e-5) != 1e-5:
        # transformers uses the key only in the blocks, and always 1e-5 in the embedding and in patch merging.
        raise ModelError(
            f"{source}: layer_norm_eps {shape['layer_norm_eps']} is not supported in a Swin, only 1e-5"
        )
    return SwinConfig(
        name=source.removeprefix("hf:"),
        embed_dim=shape.get("embed_dim", 96),
        depths=tuple(shape.get("depths", (2, 2, 6, 2))),
        heads=tuple(shape.get("num_heads", (3, 6, 12, 24))),
        image_size=_size(shape.get("image_size", 224)) or (224, 224),
        patch_size=shape.get("patch_size", 4),
        window=shape.get("window_size", 7),
        mlp_ratio=shape.get("mlp_ratio", 4.0),
        num_classes=classes,
        activation=activation,
        rule="transformers",
    )


def _size(value: Any) -> tuple[int, int] | None:
    """Read (height, width) from any of the forms in configuration files."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, list | tuple) and len(value) == 2:
        return int(value[0]), int(value[1])
    if isinstance(value, Mapping):
        if "height" in value:
            return int(value["height"]), int(value["width"])
        if "shortest_edge" in value:
            return int(value["shortest_edge"]), int(value["shortest_edge"])
    return None


def _fetch_weights(name: str, folder: Path | None) -> Path:
    """Find the weights, or download them with all their shards."""
    path = _fetch(name, folder, WEIGHT_FILES)
    if folder is None and path.name.endswith(".index.json"):
        places = read_json(path).get("weight_map")
        for file in sorted(set(map(str, places.values()))) if isinstance(places, Mapping) else ():
            _fetch(name, None, (file,))
    return path


def _fetch_or_none(name: str, folder: Path | None, file: str) -> Path | None:
    """Return an optional file of a repository, or None if the repository does not have it."""
    try:
        return _fetch(name, folder, (file,))
    except ModelError:
        return None


def _fetch(name: str, folder: Path | None, candidates: tuple[str, ...]) -> Path:
    """Find the first existing file of ``candidates`` in a folder, or download it."""
    if folder is not None:
        for candidate in candidates:
            if (folder / candidate).is_file():
                return folder / candidate
        raise ModelError(f"{folder}: contains none of the files {', '.join(candidates)}")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingPackageError("huggingface_hub", f"the model 'hf:{name}'", "hf") from None
    reason = ""
    for candidate in candidates:
        try:
            return Path(hf_hub_download(name, candidate))
        except Exception as error:  # the network, the cache and the Hub raise many kinds of exceptions
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    raise ModelError(
        f"hf:{name}: cannot download {' or '.join(candidates)}: {reason}. Without network access, copy "
        f"config.json, preprocessor_config.json and model.safetensors of {name} into a folder "
        "and pass it as hf:FOLDER"
    )
