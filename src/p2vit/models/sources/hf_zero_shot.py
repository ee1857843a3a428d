"""CLIP and SigLIP as zero-shot classifiers: the text tower runs once, and its embeddings become the head."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from p2vit.errors import ModelError, first_line
from p2vit.models.config import ViTConfig
from p2vit.models.libraries import import_library
from p2vit.models.options import LoadOptions

#: model_type of models with both towers.
TWO_TOWERS = ("clip", "siglip")
#: Prompts that the text tower reads together.
BATCH = 64


@dataclass(frozen=True)
class TextHead:
    """What the text tower says of the classes.

    Attributes:
        weight: float32 [classes, P], text embeddings of length 1 times the logit scale.
        bias: float32 [classes], the logit bias; zeros of CLIP.
        sha256: Of all that they were computed from: text tower, classes and templates.
    """

    weight: Tensor
    bias: Tensor
    sha256: str


def two_tower_model(meta: Mapping[str, Any], weights: Mapping[str, Tensor], source: str, option: str) -> Any:
    """Make transformers' CLIPModel or SiglipModel of a repository's weights, in eval mode.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors, of both towers.
        source: Name of the source for error messages.
        option: What asks for it, for error messages.

    Raises:
        ModelError: The repository holds no text tower.
        MissingPackageError: transformers is not installed.
    """
    kind = str(meta.get("model_type"))
    if kind not in TWO_TOWERS or not any(name.startswith("text_model.") for name in weights):
        raise ModelError(
            f"{option}: {source} has no text tower (model type '{kind}'); give the whole CLIP or SigLIP model, for "
            "instance hf:openai/clip-vit-base-patch16 or hf:google/siglip-base-patch16-224"
        )
    transformers = import_library("transformers")
    cls = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[kind]
    config = cls.config_class.from_dict(dict(meta))
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        tensors = {name: value.float() for name, value in weights.items()}
        return cls.from_pretrained(None, config=config, state_dict=tensors).eval()
    except Exception as error:  # a library raises whatever it likes for weights that it does not take
        raise ModelError(
            f"{option}: {source}: transformers cannot make the model: {first_line(error)}"
        ) from None
    finally:
        logging.set_verbosity(before)


def text_head(
    meta: Mapping[str, Any], weights: Mapping[str, Tensor], home: str, options: LoadOptions, source: str
) -> TextHead:
    """Run the text tower over all classes.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors, of both towers.
        home: Folder or repository that holds the tokenizer.
        options: With ``classes`` and ``template``; see `p2vit.models.class_list.with_classes`.
        source: Name of the source for error messages.

    Raises:
        ModelError: There is no text tower or no tokenizer, or a prompt is too long for the text tower.
    """
    assert isinstance(options.classes, tuple)
    model = two_tower_model(meta, weights, source, "--classes")
    tokens = prompt_tokens(meta, model, home, options, source)
    found = []
    with torch.inference_mode():
        for template in options.template:
            parts = []
            for start in range(0, len(options.classes), BATCH):
                batch = {name: part[start : start + BATCH] for name, part in tokens[template].items()}
                parts.append(_features(model.get_text_features(**batch)))
            found.append(F.normalize(torch.cat(parts), dim=-1))
        mean = F.normalize(torch.stack(found).mean(dim=0), dim=-1)
        weight = mean * model.logit_scale.exp()
        bias = model.logit_bias if hasattr(model, "logit_bias") else torch.zeros(1)
    digest = hashlib.sha256(repr((options.classes, options.template)).encode())
    for name in sorted(weights):
        if name.startswith(("text_", "logit_")):
            digest.update(name.encode() + weights[name].float().contiguous().numpy().tobytes())
    return TextHead(weight.clone(), bias.expand(len(weight)).clone(), digest.hexdigest())


def prompt_tokens(
    meta: Mapping[str, Any], model: Any, home: str, options: LoadOptions, source: str
) -> dict[str, dict[str, Tensor]]:
    """Tokens of all prompts, by template: ``input_ids`` and what else the tokenizer makes, [classes, length] each.

    SigLIP was trained on prompts of its full length, CLIP reads none of the padding; this is what the pipelines of
    transformers do too.

    Raises:
        ModelError: There is no tokenizer, or a prompt is too long.
    """
    transformers = import_library("transformers")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    except Exception as error:
        raise ModelError(
            f"--classes: the tokenizer of {source} cannot be loaded: {first_line(error)}. It is in tokenizer.json, "
            "tokenizer_config.json and the files beside them; copy them into the model's folder"
        ) from None
    taken = inspect.signature(model.forward).parameters
    length = int(model.config.text_config.max_position_embeddings)
    found = {}
    for template in options.template:
        prompts = [template.replace("{}", name) for name in options.classes or ()]
        for name, ids in zip(options.classes or (), tokenizer(prompts)["input_ids"], strict=True):
            if len(ids) > length:
                raise ModelError(
                    f"--classes: the prompt of '{name}' has {len(ids)} tokens; the text tower of {source} takes "
                    f"at most {length}; use a shorter name or a shorter --template"
                )
        if meta["model_type"] == "siglip":
            tokens = tokenizer(prompts, padding="max_length", max_length=length, return_tensors="pt")
        else:
            tokens = tokenizer(prompts, padding=True, return_tensors="pt")
        found[template] = {name: tensor for name, tensor in tokens.items() if name in taken}
    return found


def has_embedding(config: ViTConfig, kind: str) -> bool:
    """Whether a vision tower puts out an image embedding: CLIP with its projection, SigLIP with its pooling head.

    Args:
        config: Shape of the tower, CLIP's projection as its head.
        kind: ``model_type`` of config.json.
    """
    if kind.startswith("clip"):
        return bool(config.num_classes)
    return kind.startswith("siglip") and config.pool == "attention" and not config.num_classes


def as_embedding(
    config: ViTConfig, state: dict[str, Tensor], text: TextHead | None, source: str
) -> tuple[ViTConfig, dict[str, Tensor]]:
    """Turn a vision tower into an image embedding, with the classes as its head.

    Args:
        config: Shape of the tower, CLIP's projection as its head.
        state: Canonical names -> tensors.
        text: The classes; None for the embedding alone.
        source: Name of the source for error messages.

    Returns:
        The shape with ``embedding_dim``, and the tensors. The embedding has a root mean square of 1 instead of a length
        of 1, which the head's weights take into account.
    """
    state = dict(state)
    projection = state.pop("head.weight", None)
    state.pop("head.bias", None)
    if projection is None:  # SigLIP compares its pooled vector itself
        projection = torch.eye(config.pooled_dim)
    width = len(projection)
    state["projection.weight"] = projection
    classes = 0
    if text is not None:
        if text.weight.shape[1] != width:
            raise ModelError(
                f"--classes: {source}: text embeddings have {text.weight.shape[1]} channels and photos' {width}"
            )
        classes = len(text.weight)
        state |= {"head.weight": text.weight / width**0.5, "head.bias": text.bias}
    return replace(config, embedding_dim=width, num_classes=classes), state


def original_forward(
    meta: Mapping[str, Any], weights: Mapping[str, Tensor], home: str, config: ViTConfig, source: str
) -> Callable[[LoadOptions], Callable[[Tensor], Tensor]]:
    """How to make the library's own logits of photos, or its own embedding.

    Args:
        meta: Content of config.json.
        weights: Names -> tensors, of both towers.
        home: Folder or repository that holds the tokenizer.
        config: Shape with ``embedding_dim``.
        source: Name of the source for error messages.
    """

    def build(options: LoadOptions) -> Callable[[Tensor], Tensor]:
        option = "--classes" if options.classes else "--output embedding"
        model = two_tower_model(meta, weights, source, option)
        interpolate = {"interpolate_pos_encoding": True} if options.image_size is not None else {}
        if not options.classes:

            def embedding(x: Tensor) -> Tensor:
                found = _features(model.get_image_features(pixel_values=x, **interpolate))
                return F.normalize(found, dim=-1) * config.embedding_dim**0.5

            return embedding
        if len(options.template) == 1:
            (tokens,) = prompt_tokens(meta, model, home, options, source).values()
            return lambda x: model(pixel_values=x, **tokens, **interpolate).logits_per_image
        head = text_head(meta, weights, home, options, source)

        def logits(x: Tensor) -> Tensor:
            found = F.normalize(_features(model.get_image_features(pixel_values=x, **interpolate)), dim=-1)
            return found @ head.weight.T + head.bias

        return logits

    return build


def _features(found: Any) -> Tensor:
    """The embedding among what a tower returns; later releases of transformers wrap it."""
    tensor: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return tensor
