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

WEIGHTS = Path(__file__).parent.parent / "src" / "p2vit" / "models" / "weights"


def features(module: torch.nn.Module, batches: Iterable[tuple[Pixels, Labels]]) -> tuple[NDArray, Labels]:
    found, labels = [], []
    with torch.inference_mode():
        for pixels, batch_labels in batches:
            found.append(module.features(torch.from_numpy(pixels)).numpy())
            labels.append(batch_labels)
    return np.concatenate(found), np.concatenate(labels)


def fold(scaler: StandardScaler, regression: LogisticRegression) -> dict[str, NDArray[np.float32]]:
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def main() -> None:
    torch.set_num_threads(2)
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
