"""Benchmark ``digits``: scikit-learn's handwritten digits, small enough to train a model in a minute."""

import numpy as np
from PIL import Image

from p2vit.data.preprocess import to_pixels
from p2vit.data.split import SplitPhotos
from p2vit.errors import MissingPackageError
from p2vit.program.preprocessing import Preprocessing


def digits(preprocessing: Preprocessing) -> SplitPhotos:
    """Open the benchmark: 1,797 grey photos of 8 × 8 pixels, half of them held out.

    Args:
        preprocessing: Preprocessing of the model. For an image size other than 8 × 8, photos are resampled.

    Returns:
        The photos. Class i is the digit i.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingPackageError("scikit-learn", "the benchmark 'digits'", "bench") from None
    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    # Convert 0..16 to 0..255, rounded half up in integers.
    grey = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    return SplitPhotos(
        "digits", names, labels, labels, lambda index: to_pixels(Image.fromarray(grey[index]), preprocessing)
    )
