"""Names of a model's outputs, from ``--class-names`` or ``--class-index``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from p2vit.errors import DataError, P2vitError

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel


def given_names(class_names: str | None, class_index: Path | None, outputs: int) -> tuple[str, ...] | None:
    """Read the names of the outputs that the user gave.

    Args:
        class_names: A file as for ``class_index``, or names separated by commas.
        class_index: A file; see `p2vit.data.class_index.read_class_index`.
        outputs: Number of outputs of the model; 0 without a head.

    Returns:
        One name per output, or None if neither option is given.

    Raises:
        P2vitError: Both options are given.
        DataError: The file cannot be read, or the number of names is not the number of outputs.
    """
    from p2vit.data.class_index import read_class_index
    from p2vit.data.class_names import check_count, display_names

    if class_names is None and class_index is None:
        return None
    if class_names is not None and class_index is not None:
        raise P2vitError("--class-names and --class-index say the same; give one of them")
    option = "--class-names" if class_index is None else "--class-index"
    if not outputs:
        raise DataError(
            f"{option}: the model has no head, so its output is a feature and has no classes to name"
        )
    file = Path(class_names or "") if class_index is None else class_index
    if class_index is not None or _is_file(file):
        names, where = display_names(read_class_index(file)), str(file)
    elif "," in str(class_names) or outputs == 1:
        names = tuple(name.strip() for name in str(class_names).split(",") if name.strip())
        where = f"--class-names {class_names}"
    else:
        raise DataError(
            f"--class-names {class_names}: no such file; give a file, or names between commas: cat,dog"
        )
    check_count(names, outputs, where)
    return names


def named(model: "FloatModel", class_names: str | None, class_index: Path | None) -> "FloatModel":
    """Return the model with the names that the user gave to its outputs. The program stores these names.

    Args:
        model: The float model.
        class_names: As for :func:`given_names`.
        class_index: As for :func:`given_names`.

    Raises:
        P2vitError: As for :func:`given_names`.
    """
    names = given_names(class_names, class_index, model.config.num_classes)
    return model if names is None else replace(model, class_names=names)


def _is_file(path: Path) -> bool:
    """Whether a file has this name. A list of class names can be too long for a file name."""
    try:
        return path.is_file()
    except OSError:
        return False
