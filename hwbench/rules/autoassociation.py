"""Greedy layer-wise pretraining of a deep autoencoder by reconstruction."""

# Dims: B points, D observed units.

from __future__ import annotations

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.protocols import Autoencoder, Rule
from hwbench.rules.pretraining import check_layer


class GreedyReconstruction(Rule[Autoencoder]):
    """Cross-entropy between a layer's input and its reconstruction (Bengio et al., 2007).

    There is one stage for each layer, from the lowest up. With y = h_{l−1}(x) held fixed, and ŷ its
    reconstruction from h_l, the update descends

        ∇ −Σ_i [y_i log ŷ_i + (1 − y_i) log(1 − ŷ_i)]

    in nats, averaged over points, without noise. For grey y it is a score, and at least the entropy
    of y.

    Args:
        layer: number of the layer that is learned; 1 is next to the data.
    """

    def __init__(self, layer: Annotated[int, Field(ge=1)] = 1) -> None:
        super().__init__()
        self.layer = layer

    def check(self, model: Autoencoder) -> None:
        """Reject an autoencoder without this layer.

        Raises:
            ValueError: `layer` is above the top.
        """
        check_layer(self.layer, model.layers)

    def forward(self, model: Autoencoder, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the cross-entropy, summed over units and averaged over points."""
        below = model.ascend(x, self.layer - 1)
        logits = model.reconstruct(below, self.layer)
        total = F.binary_cross_entropy_with_logits(logits, below, reduction="sum")
        return total / len(x)
