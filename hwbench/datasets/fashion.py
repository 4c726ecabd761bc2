"""Fashion-MNIST: articles of clothing in the format of MNIST."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch.nn import functional as F

from hwbench.datasets.images import Points, present
from hwbench.datasets.mnist import read_idx
from hwbench.protocols import Dataset, Pixels, Splits

SIDE = 28  # pixels, without a border


class FashionMNIST(Dataset):
    """Clothes 28x28, 60000 for training and validation, 10000 for testing (Xiao et al., 2017).

    Args:
        pixels: fixed, dynamic, grey or threshold (see `images.present`); the draw of `fixed` pixels
            is our own.
        validation: number of validation images, taken from the end of the training images.
        border: blank pixels on each side; with 2, images are 32x32, as `padded.PaddedMNIST`.
    """

    classes = 10
    files = tuple(
        f"fashion_mnist/{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )

    def __init__(
        self,
        pixels: Pixels,
        validation: Annotated[int, Field(ge=0, lt=60000)] = 0,
        border: Annotated[int, Field(ge=0, le=SIDE)] = 0,
    ) -> None:
        self.pixels, self.validation, self.border = pixels, validation, border
        self.shape = (SIDE + 2 * border, SIDE + 2 * border)

    @classmethod
    def tiny(cls) -> FashionMNIST:
        """Return an instance for the law tests."""
        return cls(pixels="dynamic")

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` determines the draws of `dynamic` pixels.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
        """
        arrays = [torch.from_numpy(read_idx(name)) for name in self.files]
        pool, test = (
            Points(F.pad(images, [self.border] * 4).flatten(1), labels.long())
            for images, labels in (arrays[:2], arrays[2:])
        )
        return present(
            "FashionMNIST",
            pool,
            test,
            pixels=self.pixels,
            validation=self.validation,
            seed=seed,
        )
