"""A pinwheel: Gaussian arms that bend more strongly farther from the centre."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit

RADIAL, TANGENTIAL = 0.3, 0.1  # standard deviations along and across an arm
RATE = 0.2  # rate of bending


class Pinwheel(Dataset):
    """Points in the plane on bent arms, as in Johnson et al. (2016) and Wenliang et al. (2020).

    A point on arm j of J is (r, s), with r ~ N(1, 0.3²) and s ~ N(0, 0.1²), rotated by the angle
    2πj/J + 0.2 e^r. The training points have mean 0. All points are the same for every seed; there
    are no validation points.

    Args:
        pixels: grey; the points are real numbers.
        arms: number of arms J.
        points: training points on each arm; there are as many test points.
    """

    shape = (2,)

    def __init__(
        self,
        pixels: Pixels = "grey",
        arms: Annotated[int, Field(ge=1)] = 5,
        points: Annotated[int, Field(ge=1)] = 500,
    ) -> None:
        only_grey(pixels, "Pinwheel")
        self.pixels, self.arms, self.points = pixels, arms, points

    @classmethod
    def tiny(cls) -> Pinwheel:
        """Return a few points of three arms."""
        return cls(arms=3, points=20)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        draws = generator(0, "Pinwheel", self.arms, self.points)
        n = 2 * self.arms * self.points
        noise = torch.randn(n, 2, generator=draws, dtype=torch.float64)
        r, s = 1 + RADIAL * noise[:, 0], TANGENTIAL * noise[:, 1]
        angle = 2 * math.pi / self.arms * (torch.arange(n) % self.arms) + RATE * r.exp()
        x = torch.stack([r * angle.cos() - s * angle.sin(), r * angle.sin() + s * angle.cos()], 1)
        train, test = x.split(n // 2)
        mean = train.mean(0)
        return Splits(TrainSplit((train - mean).float()), None, TestSplit((test - mean).float()))
