"""A few of MNIST's binary digits."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.images import only_fixed
from hwbench.datasets.mnist import MNIST
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits


class FewMNIST(Dataset):
    """Some of the training points of `mnist.MNIST` with `fixed` pixels, and all its other points.

    The same ones for every seed, drawn at random.

    Args:
        pixels: fixed; the digits are the published binarisation.
        points: number of training points.
    """

    shape = (28, 28)
    files = MNIST(pixels="fixed").files

    def __init__(
        self, pixels: Pixels = "fixed", points: Annotated[int, Field(ge=1, le=50_000)] = 5000
    ) -> None:
        only_fixed(pixels, "FewMNIST")
        self.pixels, self.points = pixels, points

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
        """
        whole = MNIST(pixels="fixed").load(seed)
        order = torch.randperm(len(whole.train), generator=generator(0, "FewMNIST"))
        return whole._replace(train=whole.train.subset(order[: self.points]))
