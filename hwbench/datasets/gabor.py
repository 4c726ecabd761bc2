"""Gabor patches at random orientations, without noise."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.real import only_grey
from hwbench.gabor import gabor
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit


class Gabor(Dataset):
    """Gabor patches of one position and phase, at orientations θ ~ U[0, π) (Wenliang et al., 2020).

    The patches are the same for every seed; there are no validation points.

    Args:
        pixels: grey; values are real, from −1 to 1.
        side: height and width.
        patches: number of training points; a tenth as many, but at least one, are for testing.
    """

    def __init__(
        self,
        pixels: Pixels = "grey",
        side: Annotated[int, Field(ge=2, le=64)] = 16,
        patches: Annotated[int, Field(ge=1)] = 10_000,
    ) -> None:
        only_grey(pixels, "Gabor")
        self.pixels, self.patches = pixels, patches
        self.shape = (side, side)

    @classmethod
    def tiny(cls) -> Gabor:
        """Return a few patches of 4 x 4 pixels."""
        return cls(side=4, patches=40)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        n = self.patches + max(1, self.patches // 10)
        draws = generator(0, "Gabor", self.patches)
        x = gabor(math.pi * torch.rand(n, generator=draws), self.shape[0]).float()
        return Splits(TrainSplit(x[: self.patches]), None, TestSplit(x[self.patches :]))
