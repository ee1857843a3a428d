"""The page's scaling of photos, run by Node.js, beside Pillow: every filter, convention and kind of resize."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from p2vit.data.preprocess import to_pixels
from p2vit.export.web.write import asset, joins_rows_first
from p2vit.program.preprocessing import Preprocessing
from support.tiers import extended

node = shutil.which("node")
needs_node = pytest.mark.skipif(node is None, reason="no Node.js; on Debian: apt-get install nodejs")

SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { prepare } from "./prepare.js";
const cases = JSON.parse(readFileSync("cases.json"));
for (const [i, { width, height, pre }] of cases.entries())
  writeFileSync(`${i}.out`, prepare({ data: new Uint8Array(readFileSync(`${i}.in`)), width, height }, pre));
"""
FILTERS = ("bilinear", "bicubic", "nearest", "lanczos", "box", "hamming")


def run(folder, cases):
    """Prepare photos in Node.js: (photo, preprocessing) of each case."""
    (folder / "prepare.js").write_text(asset("prepare.js"))
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(SCRIPT)
    described = []
    for number, (photo, pre) in enumerate(cases):
        (folder / f"{number}.in").write_bytes(photo.tobytes())
        sizes = {"scaled_size": list(pre.scaled_size), "tall_first": joins_rows_first()}
        described.append(
            {"width": photo.shape[1], "height": photo.shape[0], "pre": pre.model_dump(mode="json") | sizes}
        )
    (folder / "cases.json").write_text(json.dumps(described))
    done = subprocess.run([node, "run.js"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [
        np.frombuffer((folder / f"{number}.out").read_bytes(), np.uint8) for number in range(len(described))
    ]


def random_case(rng, interpolation):
    height, width = rng.integers(1, 300, 2).tolist()
    size = tuple(rng.integers(1, 65, 2).tolist())
    pre = Preprocessing(
        image_size=size if rng.random() < 0.5 else (size[0], size[0]),
        resize=str(rng.choice(["squash", "crop", "crop", "cut"])),
        crop_pct=float(rng.choice([1, 0.9, 0.875])),
        convention=str(rng.choice(["torchvision", "timm", "transformers"])),
        interpolation=interpolation,
        rounding=str(rng.choice(["per_pass", "once"])),
        scale_to=(70, 64) if rng.random() < 0.3 else None,
    )
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if rng.random() < 0.3:  # values at the ends, which clamp
        photo = np.where(photo > 127, 255, 0).astype(np.uint8)
    return photo, pre


@needs_node
@pytest.mark.parametrize("interpolation", extended(FILTERS, quick=["bilinear", "bicubic"]))
def test_every_byte_is_pillows(interpolation, tmp_path):
    rng = np.random.default_rng(7)
    cases = [random_case(rng, interpolation) for _ in range(60)]
    cases.append((np.full((5, 300, 3), 9, np.uint8), cases[0][1]))
    for (photo, pre), found in zip(cases, run(tmp_path, cases), strict=True):
        expected = to_pixels(Image.fromarray(photo), pre)
        assert np.array_equal(found, expected.reshape(-1)), (photo.shape, pre)


@needs_node
def test_a_photo_of_another_size_is_refused_where_nothing_is_resized(tmp_path):
    pre = Preprocessing(image_size=(8, 8), resize="none")
    with pytest.raises(AssertionError, match="the photo has 9 x 8 pixels, but must have 8 x 8"):
        run(tmp_path, [(np.zeros((8, 9, 3), np.uint8), pre)])
