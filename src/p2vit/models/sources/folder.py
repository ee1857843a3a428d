"""A folder that holds a model: transformers' or timm's own, with shards or without, or one weight file."""

from pathlib import Path

from p2vit.errors import ModelError, some
from p2vit.models.loaded import FloatModel
from p2vit.models.options import LoadOptions

#: Names under which repositories keep their weights, in the order in which they are looked for.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: Suffixes that single out the weight file in a folder without a known name.
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")


def load_folder(folder: Path, options: LoadOptions) -> FloatModel:
    """Load the model that a folder holds.

    Args:
        folder: With ``config.json`` and weights, or with one weight file.
        options: What the user says beside it.

    Returns:
        The model.

    Raises:
        ModelError: it holds no model, several, or one that is not supported.
    """
    from p2vit.models.sources.checkpoint import load_checkpoint
    from p2vit.models.sources.huggingface import load_huggingface

    if (folder / "config.json").is_file() and options.arch is None:
        return load_huggingface(str(folder), options)
    if (folder / "program.json").is_file():
        raise ModelError(f"{folder}: a quantized program, where a float model is needed")
    try:
        inside = sorted(path for path in folder.iterdir() if path.suffix in FILE_SUFFIXES and path.is_file())
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror}") from None
    index = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if index is not None:
        return load_checkpoint(index, options)
    if len(inside) == 1:
        return load_checkpoint(inside[0], options)
    if inside:
        names = [path.name for path in inside]
        raise ModelError(f"{folder}: holds {len(names)} weight files: {some(names)}; name one of them")
    raise ModelError(
        f"{folder}: no model in it; a folder needs config.json and {WEIGHT_FILES[0]}, or one weight file"
    )
