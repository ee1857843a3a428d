"""Benchmark ``textile``: photos of simulated fabric with a global, a local or no defect.

The photos (MIT) are read from the installed package ``conformal-clip-data`` and are not copied.
"""

import numpy as np

from p2vit.data.split import SplitPhotos, file_reader, package_folder
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing

CLASSES = ("global", "local", "nominal")


def textile(preprocessing: Preprocessing) -> SplitPhotos:
    """Open the benchmark: 1,000 photos to train and calibrate on, 1,000 held out.

    Args:
        preprocessing: Preprocessing of the model.

    Returns:
        The photos, with the classes in the order of `CLASSES`.

    Raises:
        MissingPackageError: ``conformal-clip-data`` is not installed.
        DataError: A class has no photos.
    """
    package = package_folder("conformal_clip_data", "conformal-clip-data", "textile")
    folder = package / "data" / "textile_images" / "simulated"
    photos = [sorted((folder / name).glob("*.jpg")) for name in CLASSES]
    for name, found in zip(CLASSES, photos, strict=True):
        if not found:
            raise DataError(f"{folder / name}: contains no photos; install conformal-clip-data 0.1.4")
    labels = np.repeat(np.arange(len(CLASSES), dtype=np.int64), [len(found) for found in photos])
    paths = [path for found in photos for path in found]
    return SplitPhotos("textile", CLASSES, labels, labels, file_reader(paths, preprocessing))
