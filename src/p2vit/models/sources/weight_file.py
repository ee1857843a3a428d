"""Read weight files from disk. Nothing in a file is ever executed."""

from pathlib import Path

import torch
from torch import Tensor

from p2vit.errors import ModelError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable safetensors file: {error}") from None


def read_torch(path: Path) -> dict[str, Tensor]:
    """Read a torch checkpoint with ``weights_only``, which refuses to run code.

    Args:
        path: The file.

    Returns:
        Names -> tensors, out of ``model``, ``state_dict`` or the like when the file wraps them.

    Raises:
        ModelError: the file is missing, damaged, holds more than tensors, or no state dict.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{path}: not readable as plain tensors ({first}). Files that need code to load are refused; "
            "save the state dict alone, best as .safetensors"
        ) from None
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not loaded:
        raise ModelError(f"{path}: holds {type(loaded).__name__}, where a state dict is needed")
    state = {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}
    if not state:
        raise ModelError(f"{path}: no tensors in it; a state dict is needed")
    # DistributedDataParallel and Lightning put their own word before every name.
    for prefix in ("module.", "model.", "backbone."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a weight file of either kind, by its suffix.

    Args:
        path: The file.

    Returns:
        Names -> tensors.

    Raises:
        ModelError: the suffix is unknown or the file unreadable.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in SUFFIXES:
        return read_torch(path)
    raise ModelError(f"{path}: weight files end in {', '.join(SUFFIXES)}")
