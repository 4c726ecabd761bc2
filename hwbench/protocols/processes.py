"""Models of functions that are observed at a few places.

Dims: *S leading dims (samples, functions), C context places, T target places, Z latents.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float, Integer
from torch import Tensor

from hwbench.protocols.models import Model


class ProcessModel(Model):
    """p(y_T | y_C) = ∫ N(z; m(y_C), diag s(y_C)²) Π_t N(y_t; f(z, t), g(z, t)²) dz.

    A point is a function's values at D places, and places are numbers from 0 to D − 1.
    """

    @abstractmethod
    def latent(
        self, places: Integer[Tensor, "c"], y: Float[Tensor, "*s c"]
    ) -> tuple[Float[Tensor, "*s z"], Float[Tensor, "*s z"]]:
        """Return mean and standard deviation of the latents, given values at some places."""

    @abstractmethod
    def predict(
        self, z: Float[Tensor, "*s z"], places: Integer[Tensor, "t"]
    ) -> tuple[Float[Tensor, "*s t"], Float[Tensor, "*s t"]]:
        """Return mean and standard deviation of the values at some places, given latents."""
