"""k-nearest-neighbour classification on features, to measure a backbone without a classifier.

The recipe is DINO's (Caron et al., arXiv 2104.14294; its weighted vote is Wu et al.'s, arXiv 1805.01978): features
of length 1, the k = 20 gallery photos of greatest cosine similarity s vote with the weight exp(s / 0.07).
"""

import numpy as np
from numpy.typing import NDArray

K, TEMPERATURE = 20, 0.07
#: Unit features are rounded to this many binary places. Products and all their partial sums are then integers
#: below 2^53. float64 adds them exactly, so no similarity depends on how threads divide a matrix product.
PLACES = 20
#: Gallery photos per matrix product.
CHUNK = 16384


class Gallery:
    """Labelled features that classify other features by the votes of the nearest ones.

    Args:
        features: Features of the gallery, [G, C].
        labels: Classes of these features, int64 [G], from 0.
        k: Number of neighbours.
        temperature: Temperature T of the weights exp(similarity / T).

    Raises:
        ValueError: There are no features, or k is below 1.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: NDArray[np.int64],
        k: int = K,
        temperature: float = TEMPERATURE,
    ) -> None:
        if not len(features) or k < 1:
            raise ValueError(f"{len(features)} gallery features and k = {k}; at least one of each is needed")
        self.features = fixed_point(features)
        self.labels = labels
        self.k = min(k, len(features))
        self.temperature = temperature

    def vote(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Classify features.

        Args:
            features: Features, [B, C].

        Returns:
            Classes, int64 [B]. Of classes with equal votes the lowest wins, of equally near photos the first one.
        """
        near, similar = self.neighbours(features)
        weights = np.exp(similar / self.temperature)
        found = np.empty(len(features), np.int64)
        for row, (who, weight) in enumerate(zip(near, weights, strict=True)):
            found[row] = np.bincount(self.labels[who], weights=weight).argmax()
        return found

    def neighbours(self, features: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the k nearest gallery photos, nearest first.

        Args:
            features: Features, [B, C].

        Returns:
            (indices in the gallery, int64 [B, k]; cosine similarities, float64 [B, k]).
        """
        queries = fixed_point(features).astype(np.float64)
        places = np.zeros((len(queries), 0), np.int64)
        values = np.zeros((len(queries), 0))
        for start in range(0, len(self.features), CHUNK):
            chunk = self.features[start : start + CHUNK].astype(np.float64)
            values = np.concatenate([values, queries @ chunk.T], axis=1)
            own = np.broadcast_to(np.arange(start, start + len(chunk)), (len(queries), len(chunk)))
            places = np.concatenate([places, own], axis=1)
            best = np.argsort(-values, axis=1, kind="stable")[:, : self.k]
            values, places = np.take_along_axis(values, best, 1), np.take_along_axis(places, best, 1)
        return places, np.ldexp(values, -2 * PLACES)


def fixed_point(features: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return features scaled to length 1, as integers in units of 2^-20, int32 [N, C]. A zero feature stays zero."""
    exact = np.asarray(features, np.float64)
    lengths = np.sqrt((exact**2).sum(axis=1, keepdims=True))
    unit = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
    return np.rint(np.ldexp(unit, PLACES)).astype(np.int32)
