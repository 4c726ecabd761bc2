"""Models whose parts add up to an image, and models with a prior on their parameters.

Dims: K factors, D observed units.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.models import GenerativeModel, Model


class PriorModel(Model):
    """A model with a prior on its parameters θ."""

    @abstractmethod
    def log_parameter_prior(self) -> Float[Tensor, ""]:
        """Return log p(θ) up to a constant, in nats, with gradients to θ."""


class FactorModel(GenerativeModel):
    """x_d ~ Bern(σ(u W + b)_d) with u = logit z, and z uniform on (0, 1) for each of K factors."""

    @abstractmethod
    def factors(self) -> Float[Tensor, "k d"]:
        """Return W."""

    @abstractmethod
    def offsets(self) -> Float[Tensor, "d"]:
        """Return b."""
