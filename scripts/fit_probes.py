"""Fit the linear probes of the benchmarks ``elpv`` and ``textile`` on the frozen DINOv2 backbone.

Run: ``python scripts/fit_probes.py [elpv] [textile]``. It writes
``src/p2vit/models/weights/probe_*.safetensors`` and prints the float accuracy on the held-out half. Only the
training half is ever seen while fitting.

The standardisation is folded into the linear layer, which has one output per class. A logistic regression
on two classes has a single logit z; it becomes the pair (−z/2, +z/2): same argmax and same softmax as
(0, z), and no row of zeros, for which no scale could be chosen when the layer is quantized.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from p2vit.data.elpv import elpv
from p2vit.data.source import Labels, Pixels
from p2vit.data.textile import textile
from p2vit.models.registry import load_model
from p2vit.quant.workers import Workers

WEIGHTS = Path(__file__).parent.parent / "src" / "p2vit" / "models" / "weights"


def features(module: torch.nn.Module, batches: Iterable[tuple[Pixels, Labels]]) -> tuple[NDArray, Labels]:
    # Whole batches side by side, one thread each: the features do not depend on how many there are.
    with Workers() as workers:
        parts = workers.map(
            lambda part: (module.features(torch.from_numpy(part[0])).numpy(), part[1]), batches
        )
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def fold(scaler: StandardScaler, regression: LogisticRegression) -> dict[str, NDArray[np.float32]]:
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    # In C order: a file of safetensors is the raw bytes, and scikit-learn hands out columns first.
    return {
        "weight": np.ascontiguousarray(weight, np.float32),
        "bias": np.ascontiguousarray(bias, np.float32),
    }


def main() -> None:
    model = load_model("dinov2")
    openers = {"elpv": elpv, "textile": textile}
    for name in sys.argv[1:] or openers:
        opener = openers[name]
        photos = opener(model.preprocessing)
        seen, labels = features(model.module, photos.training())
        scaler = StandardScaler().fit(seen)
        regression = LogisticRegression(C=0.05, max_iter=500).fit(scaler.transform(seen), labels)
        probe = fold(scaler, regression)
        unseen, truth = features(model.module, photos.evaluation())
        own = regression.predict(scaler.transform(unseen))
        folded = (unseen @ probe["weight"].T + probe["bias"]).argmax(axis=1)
        save_file(probe, WEIGHTS / f"probe_{name}.safetensors")
        print(
            f"{name}: top-1 {100 * np.mean(folded == truth):.2f} % of {len(truth)} photos, "
            f"{np.sum(folded != own)} decisions changed by folding"
        )


if __name__ == "__main__":
    main()
