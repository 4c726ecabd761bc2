"""CalTech-101 silhouettes 28x28 of B. Marlin, in the split that ships with them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.images import Points, cut, only_fixed
from hwbench.protocols import Dataset, Pixels, Splits

SIZES = {"train": 4100, "val": 2264, "test": 2307}


class CalTech101(Dataset):
    """Filled outlines of objects of 101 classes: 4100 / 2264 / 2307 points, labels 0 to 100.

    Shapes are 1 and the background is 0, as in the sets of digits. The file has the reverse (1 is
    background) and stores images column by column. For a model that is flexible in both, this does
    not affect the log-likelihood that it can reach, but it affects the start of training.

    Args:
        pixels: fixed, since the set is binary by nature.
    """

    shape = (28, 28)
    classes = 101
    files = ("caltech/caltech101_silhouettes_28_split1.mat",)

    def __init__(self, pixels: Pixels = "fixed") -> None:
        only_fixed(pixels, type(self).__name__)
        self.pixels = pixels

    @classmethod
    def tiny(cls) -> CalTech101:
        """Return an instance for the law tests."""
        return cls()

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: the file is not on this machine and cannot be fetched.
            files.DataCorrupt: its checksum is wrong, or its content is not as described.
        """
        from scipy.io import loadmat

        name = self.files[0]
        found = loadmat(str(files.fetch(name)))
        parts = {}
        for part, size in SIZES.items():
            x, y = found.get(f"{part}_data"), found.get(f"{part}_labels")
            if x is None or y is None or x.shape != (size, 784) or y.size != size:
                raise files.wrong(name, f"no {part} part of {size} images with labels")
            if not np.isin(x, (0, 1)).all() or not (y.min() >= 1 and y.max() <= 101):
                raise files.wrong(name, f"pixels of {part} are not 0 and 1, or labels not 1 to 101")
            parts[part] = shapes(x), torch.from_numpy(y.reshape(-1).astype(np.int64) - 1)
        train, val, test = (parts[part] for part in SIZES)
        pool = Points(*(torch.cat([a, b]) for a, b in zip(train, val, strict=True)))
        return cut(pool, Points(*test), validation=SIZES["val"])


def shapes(values: UInt8[np.ndarray, "n 784"]) -> UInt8[Tensor, "n 784"]:
    """Return images as rows in row-major order with ones for the shape, from the file's form."""
    images = 1 - values.astype(np.uint8).reshape(-1, 28, 28).transpose(0, 2, 1)
    return torch.from_numpy(np.ascontiguousarray(images.reshape(-1, 784)))
