"""Run the example of docs/how-to/dense.md, draw its picture, and note its figures.

python scripts/dense_segmentation.py [--photos FILE]

Writes docs/images/dense-segmentation.png and results/dense-segmentation.json. The picture shows masks alone: the photos
may not be copied. ``--photos`` draws them too, into a file of your own.
"""

import argparse
import json
import re
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "dense.md"
PICTURE = ROOT / "docs" / "images" / "dense-segmentation.png"
FIGURES = ROOT / "results" / "dense-segmentation.json"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Photos in the picture, pixels of a patch's side, and pixels between masks.
PHOTOS, SIDE, GAP = 8, 8, 8
PAPER, GREY, RED, BLUE = (255, 255, 255), (222, 222, 222), (200, 60, 50), (40, 90, 160)


def run_page(until: int | None = None) -> dict[str, Any]:
    """Run the page's Python from top to bottom, in a folder of its own.

    Args:
        until: Number of blocks; all if None.

    Returns:
        The names that it leaves.
    """
    text, namespace = PAGE.read_text(encoding="utf-8"), {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for block in list(BLOCK.finditer(text))[:until]:
            padding = "\n" * text[: block.start(1)].count("\n")
            exec(compile(padding + block.group(1), str(PAGE), "exec"), namespace)
    return namespace


def picture(truth: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Two rows of masks: the rule's, and the program's, each bool [N, rows, columns]."""
    rows, columns = (side * SIDE for side in truth.shape[1:])
    canvas = np.full((2 * rows + 3 * GAP, len(truth) * (columns + GAP) + GAP, 3), PAPER, np.uint8)
    for place, pair in enumerate(zip(truth, mask, strict=True)):
        for line, (found, colour) in enumerate(zip(pair, (BLUE, RED), strict=True)):
            drawn = np.where(found[..., None], colour, GREY).astype(np.uint8)
            top, left = GAP + line * (rows + GAP), GAP + place * (columns + GAP)
            canvas[top : top + rows, left : left + columns] = drawn.repeat(SIDE, 0).repeat(SIDE, 1)
    return Image.fromarray(canvas)


def main() -> None:
    """Run, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="Also draw the photos, into this file.")
    options = parser.parse_args()
    found = run_page()
    truth, mask = found["truth"], found["mask"]
    most = np.argsort(-truth.sum(axis=(1, 2)), kind="stable")[:PHOTOS]
    picture(truth[most], mask[most]).save(PICTURE, optimize=True)
    figures = {
        "command": "python scripts/dense_segmentation.py",
        "program_sha256": found["segmenter"].sha256,
        "training_photos": len(found["train"]),
        "held_out_photos": len(found["test"]),
        "patches_right_percent": round(100 * float(found["accuracy"]), 2),
        "intersection_over_union": round(float(found["overlap"]), 4),
        "inactive_percent": round(100 * float(truth.mean()), 2),
    }
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    if options.photos is not None:
        photos = np.concatenate(list(found["test"][most]), axis=1)
        Image.fromarray(photos).save(options.photos)


if __name__ == "__main__":
    main()
