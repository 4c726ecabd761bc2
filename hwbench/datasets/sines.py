"""Noisy sines: functions to predict from a few of their values."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit

NOISE = 0.1


class Sines(Dataset):
    """Functions a sin(x − b) + 0.1 ε with a ~ U(−1/2, 1), b ~ U(−1/2, 1/2) (Wenliang et al., 2020).

    A point is the values of one function at equally spaced x in [−π, π]. All points are the same
    for every seed.

    Args:
        pixels: grey; the values are real numbers.
        places: number of values of a function.
        functions: number of training points; there are 1000 test points.
    """

    def __init__(
        self,
        pixels: Pixels = "grey",
        places: Annotated[int, Field(ge=2)] = 100,
        functions: Annotated[int, Field(ge=1)] = 10_000,
    ) -> None:
        only_grey(pixels, "Sines")
        self.pixels, self.functions = pixels, functions
        self.shape = (places,)

    @classmethod
    def tiny(cls) -> Sines:
        """Return a few functions at few places."""
        return cls(places=8, functions=20)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        n, (places,) = self.functions + 1000, self.shape
        draws = generator(0, "Sines", self.functions, places)
        u = torch.rand(2, n, 1, generator=draws, dtype=torch.float64)
        x = torch.linspace(-math.pi, math.pi, places, dtype=torch.float64)
        clean = (1.5 * u[0] - 0.5) * (x - (u[1] - 0.5)).sin()
        noise = torch.randn(n, places, generator=draws, dtype=torch.float64)
        y = (clean + NOISE * noise).float()
        return Splits(TrainSplit(y[: self.functions]), None, TestSplit(y[self.functions :]))
