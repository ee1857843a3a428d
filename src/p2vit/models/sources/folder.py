"""Load a model from a folder: a copy of a repository (transformers or timm, with or without shards), or a file."""

from pathlib import Path

from p2vit.errors import ModelError, some
from p2vit.models.loaded import FloatModel
from p2vit.models.options import LoadOptions

#: Usual names of weight files in repositories, in order of preference.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
#: Suffixes of weight files, for a folder that has none of the usual names.
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")


def load_folder(folder: Path, options: LoadOptions) -> FloatModel:
    """Load the model in a folder.

    Args:
        folder: Folder with ``config.json`` and weights, or with one weight file.
        options: Options of loading.

    Returns:
        The model.

    Raises:
        ModelError: The folder contains no model, several models, or an unsupported model.
    """
    from p2vit.models.sources.checkpoint import load_checkpoint
    from p2vit.models.sources.huggingface import load_huggingface

    if (folder / "config.json").is_file() and options.arch is None:
        return load_huggingface(str(folder), options)
    if (folder / "program.json").is_file():
        raise ModelError(f"{folder}: a quantized program, but a float model is needed")
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
        raise ModelError(f"{folder}: contains {len(names)} weight files: {some(names)}; name one of them")
    raise ModelError(
        f"{folder}: contains no model; the folder needs config.json and {WEIGHT_FILES[0]}, or one weight file"
    )
