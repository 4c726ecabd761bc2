"""Reconstruction of an image and a text from one layer."""

# Dims: B points, D observed units.

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hwbench.protocols import PairedAutoencoder, Rule


class PairedReconstruction(Rule[PairedAutoencoder]):
    """Squared error of the image and cross-entropy of the words (Ngiam et al., 2011).

        ½ ‖v − v̂‖² − Σ_k t_k log p̂_k,   averaged over points, in nats

    A text without words adds nothing.
    """

    def __init__(self) -> None:
        """Take no arguments; without its own constructor, the class would seem to accept any."""
        super().__init__()

    def forward(self, model: PairedAutoencoder, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the loss."""
        image, logits, counts = model.reconstruct(x)
        squares = (model.split(x)[0] - image).square().sum() / 2
        return (squares - (counts * logits.log_softmax(1)).sum()) / len(x)
