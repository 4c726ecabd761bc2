"""Digits with a border of blank pixels, so that the side length can be halved three times."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.datasets.images import Points, present
from hwbench.datasets.mnist import MNIST
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit

BORDER = 2  # pixels on each side


class PaddedMNIST(Dataset):
    """`mnist.MNIST` with a border of two blank pixels: 32x32 (Wenliang et al., 2020).

    Args:
        pixels: `fixed` pixels are drawn once, the same for every seed (our own draw; that of
            Salakhutdinov and Murray (2008) has other training points); `grey` pixels are real
            values from 0 to 1.
        validation: number of validation images, taken from the end of the training images.

    Raises:
        ValueError: `pixels` is neither fixed nor grey.
    """

    shape = (32, 32)
    classes = 10

    def __init__(
        self,
        pixels: Pixels = "fixed",
        validation: Annotated[int, Field(ge=0, lt=60000)] = 0,
    ) -> None:
        if pixels not in ("fixed", "grey"):
            raise ValueError(f"PaddedMNIST: pixels must be fixed or grey (found {pixels})")
        self.pixels, self.validation = pixels, validation
        self.files = MNIST("grey").files

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
        """
        whole = MNIST("grey", validation=0).load(seed)
        pool, test = (_padded(part) for part in (whole.train, whole.test))
        return present(
            "PaddedMNIST", pool, test, pixels=self.pixels, validation=self.validation, seed=seed
        )


def _padded(split: TrainSplit | TestSplit) -> Points:
    """Return the 28 x 28 images with their border."""
    images: Tensor = split.values.view(-1, 28, 28)
    return Points(F.pad(images, [BORDER] * 4).flatten(1), split.labels)
