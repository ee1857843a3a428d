"""Benchmark ``elpv``: electroluminescence photos of solar cells, with defect probabilities by experts.

The photos (CC BY-NC-SA 4.0) are read from the installed package ``elpv-dataset`` and are not copied.
"""

import numpy as np

from p2vit.data.split import SplitPhotos, file_reader, package_folder
from p2vit.errors import DataError
from p2vit.program.preprocessing import Preprocessing


def elpv(preprocessing: Preprocessing) -> SplitPhotos:
    """Open the benchmark: 1,312 photos to train and calibrate on, 1,312 held out.

    A cell is defective if its defect probability is above one half. The split is stratified by label and cell type
    (mono, poly).

    Args:
        preprocessing: Preprocessing of the model.

    Returns:
        The photos. Class 0 is functional, class 1 is defective.

    Raises:
        MissingPackageError: ``elpv-dataset`` is not installed.
        DataError: The package's label file is missing or has another format.
    """
    folder = package_folder("elpv_dataset", "elpv-dataset", "elpv") / "data"
    table = folder / "labels.csv"
    try:
        rows = [line.split() for line in table.read_text().splitlines() if line.strip()]
        paths = [folder / path for path, _, _ in rows]
        labels = np.array([float(probability) > 0.5 for _, probability, _ in rows], dtype=np.int64)
        poly = np.array([kind == "poly" for _, _, kind in rows], dtype=np.int64)
    except (OSError, ValueError) as error:
        raise DataError(f"{table}: not the label file of elpv-dataset 1.0.0.post1: {error}") from None
    read = file_reader(paths, preprocessing)
    return SplitPhotos("elpv", ("functional", "defective"), labels, 2 * labels + poly, read)
