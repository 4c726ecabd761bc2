"""Mixtures of densities in the plane, with access to their components.

Dims: N draws, B points, C components, D observed units.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float, Integer
from torch import Tensor

from hwbench.protocols.models import GenerativeModel


class PlanarMixture(GenerativeModel):
    """A mixture p(x) = Σ_c p(x, c) with few observed units and few other latents."""

    @abstractmethod
    def log_components(self, x: Float[Tensor, "b d"], nodes: int) -> Float[Tensor, "b c"]:
        """Return log p(x, c), in nats and float64, by quadrature with `nodes` for each latent.

        A model without other latents gives the exact value and ignores `nodes`.
        """

    @abstractmethod
    def draw(self, n: int) -> tuple[Float[Tensor, "n d"], Integer[Tensor, "n"]]:
        """Return n draws of x with their components, detached."""


class GaussianComponents(PlanarMixture):
    """A mixture of Gaussians whose parameters can be set."""

    @abstractmethod
    def place(
        self,
        weights: Float[Tensor, "c"],
        means: Float[Tensor, "c d"],
        covariances: Float[Tensor, "c d d"],
    ) -> None:
        """Set mixing proportions, means and covariances."""

    @abstractmethod
    def components(self) -> int:
        """Return the number of components."""
