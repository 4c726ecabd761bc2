"""Counts of blowflies in a laboratory, and a simulated population of the same kind."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit

FEWEST = 25  # counts: the longest delay plus a few more


def one_series(x: Float[Tensor, "t"]) -> Splits:
    """Return a series, divided by its maximum, as the only training point and only test point."""
    point = (x / x.max()).float()[None]
    return Splits(TrainSplit(point), None, TestSplit(point))


class Blowfly(Dataset):
    """Nicholson's blowflies, 180 counts divided by their maximum: one point.

    Training and testing use the same point, because models are judged by their simulations.

    Args:
        pixels: grey; the counts are real numbers.
    """

    shape = (180,)
    files = ("blowfly/blowfly.csv",)

    def __init__(self, pixels: Pixels = "grey") -> None:
        only_grey(pixels, "Blowfly")
        self.pixels = pixels

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: the file is not on this machine.
            files.DataCorrupt: its checksum is wrong, or its counts are invalid (see `counts`).
        """
        return one_series(counts(self.files[0], files.read(self.files[0])))


def counts(name: str, raw: bytes) -> Float[Tensor, "t"]:
    """Return the counts in a file with one number per line.

    Raises:
        files.DataCorrupt: there are fewer than 25, or one is not a positive number.
    """
    try:
        values = torch.tensor([float(line) for line in raw.split()], dtype=torch.float64)
    except ValueError as error:
        raise files.wrong(name, error) from None
    if len(values) < FEWEST:
        raise files.wrong(name, f"at least {FEWEST} counts expected, {len(values)} found")
    bad = ~(values.isfinite() & (values > 0))
    if bad.any():
        line = int(bad.nonzero()[0]) + 1
        raise files.wrong(
            name,
            f"counts must be above 0, since their logarithms are used; line {line} is "
            f"{values[line - 1]:g}",
        )
    return values


class SimulatedBlowfly(Dataset):
    """A series simulated by the model of `dynamics.BlowflyDynamics` with delay 7, for short tests.

        x_t = P x_{t−7} exp(−x_{t−7} / N₀) e_t + x_{t−1} exp(−δ ε_t)

    P = 6.5, N₀ = 0.1, δ = 0.3, and e_t, ε_t are Gamma variables with mean 1 and standard deviation
    0.3. The first 100 steps are dropped; the rest is divided by its maximum.

    Args:
        pixels: grey; the values are real numbers.
        steps: length of the series.
    """

    def __init__(
        self, pixels: Pixels = "grey", steps: Annotated[int, Field(ge=FEWEST)] = 60
    ) -> None:
        only_grey(pixels, "SimulatedBlowfly")
        self.pixels, self.steps = pixels, steps
        self.shape = (steps,)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        draws = generator(0, "SimulatedBlowfly", self.steps)
        n = self.steps + 100
        shape = torch.full((2, n), 1 / 0.3**2, dtype=torch.float64)
        e, eps = torch._standard_gamma(shape, generator=draws) / shape
        x = torch.full((n + 7,), 0.3, dtype=torch.float64)
        for t in range(n):
            before = x[t]
            born = 6.5 * before * (-before / 0.1).exp() * e[t]
            x[t + 7] = born + x[t + 6] * (-0.3 * eps[t]).exp()
        return one_series(x[-self.steps :])
