"""Read label files: those of ImageNet, and the usual forms of users' own files."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from p2vit.data.text_file import read_text
from p2vit.errors import DataError, some

#: Column names in a header, lower case.
FILE_COLUMNS = ("file", "filename", "file_name", "image", "imageid", "image_id", "img", "path", "name", "id")
LABEL_COLUMNS = (
    "label", "labels", "class", "class_id", "class_name", "target", "category", "synset", "wnid",
    "predictionstring",
)  # fmt: skip


@dataclass(frozen=True)
class LabelTable:
    """The content of a label file.

    Attributes:
        path: The label file.
        classes: Class names in label order: sorted, numbers by value.
        numbered: Whether all class names are numbers from 0, which are the indices of the model's outputs.
        of_file: Photo's name as written in the file → label.
        in_order: Labels of the photos sorted by name, if the file has no photo names; otherwise empty.
    """

    path: Path
    classes: tuple[str, ...]
    numbered: bool
    of_file: dict[str, int]
    in_order: tuple[int, ...] = ()


def read_labels(path: Path) -> LabelTable:
    """Read a label file.

    Supported formats:

    * Rows ``file,label`` with or without a header, separated by commas, tabs or spaces (Caffe's ``val.txt``). A label
      is a class name or the index of an output.
    * Kaggle's ``LOC_val_solution.csv``, whose ``PredictionString`` begins with the class.
    * A JSON object of file → label.
    * One label per line for the photos in the order of their names (``ILSVRC2012_validation_ground_truth.txt``, lists
      of wnids).

    Args:
        path: The file.

    Returns:
        The labels.

    Raises:
        DataError: The file cannot be read, is empty, lacks a label, or contradicts itself. The message names the file
            and the line.
    """
    text = read_text(path, "label file")
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _text_rows(path, text)
    if not rows:
        raise DataError(f"{path}: contains no labels; expected rows 'file,label'")
    numbered = all(label.isdecimal() for _, _, label in rows)
    names = sorted(
        {label for _, _, label in rows}, key=(lambda name: (int(name), name)) if numbered else None
    )
    place = {name: index for index, name in enumerate(names)}
    of_file: dict[str, int] = {}
    for line, file, label in rows:
        if file and of_file.setdefault(file, place[label]) != place[label]:
            raise DataError(
                f"{path}, line {line}: '{file}' has a different label in an earlier line; remove one of the lines"
            )
    in_order = () if rows[0][1] else tuple(place[label] for _, _, label in rows)
    return LabelTable(path, tuple(names), numbered, of_file, in_order)


def _json_rows(path: Path, text: str) -> list[tuple[int, str, str]]:
    """Read an object file → label as rows (0, file, label)."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(label, str | int) for label in found.values()):
        raise DataError(f"{path}: must be one object of file → label, where a label is a name or a number")
    return [(0, file, str(label)) for file, label in found.items()]


def _text_rows(path: Path, text: str) -> list[tuple[int, str, str]]:
    """Read every line that is not blank as (line number, file or empty, label)."""
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
        raise DataError(f"{path}, line {some(bad)}: expected a file and a label, as in '{first}'")
    return rows


def _splitter(line: str) -> Callable[[str], list[str]]:
    """Return a function that splits the lines of this file into cells: at tabs, commas or spaces."""
    if "\t" in line:
        return lambda text: [cell.strip() for cell in text.split("\t")]
    if "," in line:
        return lambda text: [cell.strip() for cell in next(csv.reader([text]))]
    return lambda text: text.rsplit(None, 1)
