"""Models of images given captions.

Dims: B points, N captions, D units of a point, P pixels, W words, V words of the vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.models import Model


class TextToImageModel(Model):
    """A latent-variable model p(x | y) of binary images x given captions y.

    A point is an image, row by row, followed by the one-hot codes of its caption's words.

    Attributes:
        image: (height, width) of an image.
        words: number of words W in a caption.
        vocabulary: vocabulary size V.
    """

    image: tuple[int, int]
    words: int
    vocabulary: int

    def parts(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b w v"]]:
        """Return the images and the captions of points."""
        pixels = self.image[0] * self.image[1]
        return x[:, :pixels], x[:, pixels:].reshape(len(x), self.words, self.vocabulary)

    @abstractmethod
    def bound(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return a one-sample estimate of a lower bound on log p(x | y), in nats.

        It has reparameterised gradients with respect to all parameters.
        """

    @abstractmethod
    def noise(self, n: int) -> Float[Tensor, "n *z"]:
        """Draw all the random numbers from which n images are generated."""

    @abstractmethod
    def generate(
        self, captions: Float[Tensor, "n w v"], noise: Float[Tensor, "n *z"]
    ) -> Float[Tensor, "n p"]:
        """Return the pixel means of one image per caption, detached."""
