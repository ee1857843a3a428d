"""Read class-index files, which say which model output is which class (timm, torchvision, Keras, ImageNet devkit)."""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.data.text_file import read_text
from p2vit.errors import DataError, MissingPackageError

#: WordNet ID of a class (wnid). ImageNet's folders have these names.
WNID = re.compile(r"n\d{8}")
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class ClassIndex:
    """The classes of a model.

    Attributes:
        path: File that they were read from.
        names: For each output, all names of its class: wnid, label.
        by_ilsvrc: ILSVRC2012_ID → output, or None if the file has no such IDs.
    """

    path: Path
    names: tuple[tuple[str, ...], ...]
    by_ilsvrc: dict[int, int] | None = None

    def outputs(self) -> dict[str, int]:
        """Return name → output. A name of several outputs is omitted."""
        found: dict[str, int] = {}
        twice: set[str] = set()
        for output, names in enumerate(self.names):
            for name in dict.fromkeys(names):
                if name in found:
                    twice.add(name)
                found[name] = output
        return {name: output for name, output in found.items() if name not in twice}


def read_class_index(path: Path) -> ClassIndex:
    """Read a class-index file.

    Supported formats:

    * JSON of Keras and torchvision (``{"0": ["n01440764", "tench"], ...}``), Hugging Face's ``id2label`` and
      ``label2id``, and JSON lists.
    * Text with one class per line in the order of the outputs: a name, a wnid, or a wnid and a label (timm's
      ``imagenet_synsets.txt`` and class maps, ``LOC_synset_mapping.txt``). The output's number may come first.
    * ``meta.mat`` of ImageNet's devkit.

    Args:
        path: The file.

    Returns:
        The classes.

    Raises:
        DataError: The file cannot be read or has another format.
        MissingPackageError: ``meta.mat`` needs SciPy, which is not installed.
    """
    if path.suffix.lower() == ".mat" and path.is_file():
        return _devkit(path)
    text = read_text(path, "class-index file")
    names = _from_json(path, text) if path.suffix.lower() == ".json" else _from_lines(text)
    if not names:
        raise DataError(
            f"{path}: contains no classes; expected one class per line, in the order of the outputs"
        )
    return ClassIndex(path, tuple(names))


def imagenet_index() -> ClassIndex | None:
    """Return the classes of ImageNet-1k in their usual order, from timm's data files, or None without timm.

    timm is not imported.
    """
    spec = importlib.util.find_spec("timm")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data" / "_info"
        if (folder / "imagenet_synsets.txt").is_file():
            order = read_class_index(folder / "imagenet_synsets.txt")
            labels: dict[str, str] = {}
            if (lemmas := folder / "imagenet_synset_to_lemma.txt").is_file():
                rows = (line.partition("\t") for line in lemmas.read_text(encoding="utf-8").splitlines())
                labels = {number: label.strip() for number, _, label in rows if label.strip()}
            names = tuple((own[0], *((labels[own[0]],) if own[0] in labels else ())) for own in order.names)
            return ClassIndex(order.path, names)
    return None


def _from_json(path: Path, text: str) -> list[tuple[str, ...]]:
    """Read the names per output from one of the JSON formats."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if isinstance(found, dict) and isinstance(found.get("id2label"), dict):
        found = found["id2label"]  # config.json of Hugging Face
    if isinstance(found, list):
        return [_aliases(entry) for entry in found]
    if isinstance(found, dict) and found and all(isinstance(value, int) for value in found.values()):
        found = {str(output): name for name, output in found.items()}
    if isinstance(found, dict) and set(found) == {str(output) for output in range(len(found))}:
        return [_aliases(found[str(output)]) for output in range(len(found))]
    raise DataError(
        f'{path}: must be {{"0": name, ...}}, {{name: 0, ...}} or a list, with each output from 0 once'
    )


def _from_lines(text: str) -> list[tuple[str, ...]]:
    """Read the names per output from text with one output per line."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    numbered = [re.match(r"(\d+)[\s,:]+(.+)", line) for line in lines]
    if lines and all(numbered):
        by_output = {int(match[1]): match[2].strip(" '\",") for match in numbered if match}
        if sorted(by_output) == list(range(len(lines))):
            lines = [by_output[output] for output in range(len(lines))]
    return [_aliases(line) for line in lines]


def _aliases(entry: Any) -> tuple[str, ...]:
    """Return all names of a class: for ``n01440764 tench, Tinca tinca`` the wnid, the label and its first synonym."""
    parts = [str(part) for part in entry] if isinstance(entry, list) else [str(entry)]
    head, _, rest = parts[0].partition(" ") if len(parts) == 1 else (parts[0], "", "")
    head, rest = (head, rest) if WNID.fullmatch(head.rstrip("\t,")) else (parts[0], "")
    if "\t" in head:
        head, _, rest = head.partition("\t")
    names = [head.rstrip(","), *([rest.strip()] if rest.strip() else []), *parts[1:]]
    first = [name.split(",")[0].strip() for name in names]
    return tuple(dict.fromkeys([*names, *first]))


def _devkit(path: Path) -> ClassIndex:
    """Read ImageNet's ``meta.mat``. The outputs are its leaf classes sorted by wnid, not by ILSVRC2012_ID."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingPackageError("scipy", f"reading {path}", "quant") from None
    try:
        synsets = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        leaves = [row for row in synsets if int(row["num_children"]) == 0]
        entries = sorted((str(row["WNID"]), str(row["words"]), int(row["ILSVRC2012_ID"])) for row in leaves)
    except Exception as error:  # SciPy's reader raises many kinds of exceptions for other files
        raise DataError(f"{path}: is not the devkit's meta.mat ({type(error).__name__}: {error})") from None
    names = tuple((wnid, words, words.split(",")[0]) for wnid, words, _ in entries)
    return ClassIndex(path, names, {number: output for output, (_, _, number) in enumerate(entries)})
