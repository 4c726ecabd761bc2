"""Noisy measurements of the membrane potential of a simulated neuron."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.real import only_grey
from hwbench.membrane import TRUE, current, simulate
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit


class Neuron(Dataset):
    """One series of measured potentials in mV, from the membrane `hwbench.membrane.TRUE`.

    Training and testing use the same series, because models are judged by their parameters.

    Args:
        pixels: grey; the values are real numbers.
        steps: length of the series, in steps of 0.05 ms.
    """

    def __init__(self, pixels: Pixels = "grey", steps: Annotated[int, Field(ge=2)] = 1000) -> None:
        only_grey(pixels, "Neuron")
        self.pixels, self.steps = pixels, steps
        self.shape = (steps,)

    @classmethod
    def tiny(cls) -> Neuron:
        """Return a short series."""
        return cls(steps=10)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        draws = generator(0, "Neuron", self.steps)
        noise = torch.randn(2, self.steps, generator=draws, dtype=torch.float64)
        v = simulate(TRUE, current(self.steps), noise[0][:, None])
        x = (v + TRUE.noise * noise[1]).float()
        return Splits(TrainSplit(x), None, TestSplit(x))
