"""Labels of photos from a file beside them, in the forms that ImageNet's and everybody's own come in."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from p2vit.data.text_file import read_text
from p2vit.errors import DataError, some

#: Names of a header's columns, lower case.
FILE_COLUMNS = ("file", "filename", "file_name", "image", "imageid", "image_id", "img", "path", "name", "id")
LABEL_COLUMNS = (
    "label", "labels", "class", "class_id", "class_name", "target", "category", "synset", "wnid",
    "predictionstring",
)  # fmt: skip


@dataclass(frozen=True)
class LabelTable:
    """Which photo has which label.

    Attributes:
        path: The file.
        classes: Names in label order: sorted, numbers by value.
        numbered: All names are numbers from 0: they are the model's outputs themselves.
        of_file: File name, as it is written there → label.
        in_order: Label of the i-th photo by name, where the file names no photos.
    """

    path: Path
    classes: tuple[str, ...]
    numbered: bool
    of_file: dict[str, int]
    in_order: tuple[int, ...] = ()


def read_labels(path: Path) -> LabelTable:
    """Read a label file.

    Understood are: rows ``file,label`` with or without a header (CSV; TSV; or separated by spaces, such as Caffe's
    ``val.txt``), where a label is a class's name or the number of an output; Kaggle's ``LOC_val_solution.csv``, whose
    ``PredictionString`` begins with the class; a JSON object of file → label; and one label per line for the photos
    in the order of their names (``ILSVRC2012_validation_ground_truth.txt``, lists of wnids).

    Args:
        path: The file.

    Returns:
        Its labels.

    Raises:
        DataError: naming the file and the line: it cannot be read, is empty, lacks a label, or contradicts itself.
    """
    text = read_text(path, "label file")
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _text_rows(path, text)
    if not rows:
        raise DataError(f"{path}: holds no labels; rows 'file,label' are expected")
    numbered = all(label.isdecimal() for _, _, label in rows)
    names = sorted(
        {label for _, _, label in rows}, key=(lambda name: (int(name), name)) if numbered else None
    )
    place = {name: index for index, name in enumerate(names)}
    of_file: dict[str, int] = {}
    for line, file, label in rows:
        if file and of_file.setdefault(file, place[label]) != place[label]:
            raise DataError(f"{path}, line {line}: '{file}' has another label than in an earlier line")
    in_order = () if rows[0][1] else tuple(place[label] for _, _, label in rows)
    return LabelTable(path, tuple(names), numbered, of_file, in_order)


def _json_rows(path: Path, text: str) -> list[tuple[int, str, str]]:
    """(0, file, label) of an object file → label."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(label, str | int) for label in found.values()):
        raise DataError(f"{path}: must be one object of file → label, labels being names or numbers")
    return [(0, file, str(label)) for file, label in found.items()]


def _text_rows(path: Path, text: str) -> list[tuple[int, str, str]]:
    """(line, file or nothing, label) of every line that is not blank."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        return []
    first = lines[0][1]
    split = _splitter(first)
    cells = [(number, split(line)) for number, line in lines]
    width = max(len(row) for _, row in cells)
    if width == 1:
        return [(number, "", row[0]) for number, row in cells]
    file_column, label_column, header = 0, 1, [cell.lower() for cell in cells[0][1]]
    words = False
    if any(name in LABEL_COLUMNS for name in header) and any(name in FILE_COLUMNS for name in header):
        file_column = next(i for i, name in enumerate(header) if name in FILE_COLUMNS)
        label_column = next(i for i, name in enumerate(header) if name in LABEL_COLUMNS)
        words = header[label_column] == "predictionstring"
        cells = cells[1:]
    rows = []
    bad = []
    for number, row in cells:
        label = row[label_column] if len(row) > label_column else ""
        label = label.split()[0] if words and label else label
        if not label or not row[file_column]:
            bad.append(str(number))
            continue
        rows.append((number, row[file_column], label))
    if bad:
        raise DataError(f"{path}, line {some(bad)}: a file and a label are expected, as in '{first}'")
    return rows


def _splitter(line: str) -> Callable[[str], list[str]]:
    """What cuts a line of this file into cells: at tabs, at commas, or at spaces."""
    if "\t" in line:
        return lambda text: [cell.strip() for cell in text.split("\t")]
    if "," in line:
        return lambda text: [cell.strip() for cell in next(csv.reader([text]))]
    return lambda text: text.rsplit(None, 1)
