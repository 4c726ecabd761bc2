"""Draws of a density whose posterior is a skewed ridge: softplus of two Gaussians, with noise."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch.nn import functional as F

from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit


class SoftplusDraws(Dataset):
    """Points x ~ N(softplus(b·z) − ‖b‖², σ²) with z ~ N(0, I₂) (Wenliang et al., 2020).

    The 1000 training and 1000 test points are the same for every seed; there are no validation
    points.

    Args:
        pixels: grey; the points are real numbers.
        slope: b.
        noise: σ.
    """

    shape = (1,)

    def __init__(
        self,
        pixels: Pixels = "grey",
        slope: tuple[float, float] = (1.0, 1.0),
        noise: Annotated[float, Field(gt=0)] = 0.5,
    ) -> None:
        only_grey(pixels, "SoftplusDraws")
        self.pixels, self.slope, self.noise = pixels, slope, noise

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        draws = generator(0, "SoftplusDraws")
        z, noise = torch.randn(2000, 2, generator=draws), torch.randn(2000, generator=draws)
        b = torch.tensor(self.slope)
        x = F.softplus(z @ b) - b.square().sum() + self.noise * noise
        return Splits(TrainSplit(x[:1000, None]), None, TestSplit(x[1000:, None]))
