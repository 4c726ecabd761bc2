"""Models of images with a single latent, an angle.

Dims: N angles, B points, D observed units.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.models import GenerativeModel


class AngularModel(GenerativeModel):
    """A model of images whose only latent is an angle a ~ U(−π, π).

    Attributes:
        image: (height, width) of an image.
    """

    image: tuple[int, int]

    @abstractmethod
    def filters(self, angle: Float[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Return the mean image at each angle, in radians."""

    @abstractmethod
    def log_marginal(self, x: Float[Tensor, "b d"], nodes: int) -> Float[Tensor, "b"]:
        """Return log p(x) of each point, in nats, by quadrature with equally spaced angles."""
