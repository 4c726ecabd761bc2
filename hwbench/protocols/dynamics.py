"""Models of time series.

Dims: N series, T steps, M delays, S points in training.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.dreamers import ConditionalDreamer


class DelayModel(ConditionalDreamer):
    """A model of a time series of positive numbers whose latents include an unknown delay.

    Attributes:
        path: [S, M], a buffer: the probabilities of the delays after a share (s + 1) / (S + 1) of
            training, recorded by `rules.delays.RecordedDelays`; zeros where they were not recorded.
    """

    path: Tensor

    @abstractmethod
    def delays(self) -> Float[Tensor, "m"]:
        """Return the probabilities of the delays 1, 2, …, M, detached."""


class MembraneModel(ConditionalDreamer):
    """A model of the potential of a neuron, with the parameters of `hwbench.membrane`."""

    @abstractmethod
    def parameters_of_membrane(self) -> dict[str, float]:
        """Return the parameters by name, each in its own unit."""
