"""Models whose observed units are linear mixtures of sources.

Dims: D observed units, K sources.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.models import GenerativeModel


class MixingModel(GenerativeModel):
    """A model of images x = A s with independent sources s, possibly with noise.

    Attributes:
        image: (height, width) of an image.
    """

    image: tuple[int, int]

    @abstractmethod
    def mixing(self) -> Float[Tensor, "d k"]:
        """Return A, detached."""

    @abstractmethod
    def place(self, mixing: Float[Tensor, "d k"]) -> None:
        """Set A."""
