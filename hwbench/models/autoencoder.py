"""Deep autoencoder that becomes a classifier."""

# Dims: B points, D units below, H units of a layer.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.models.net import SigmoidNet, needs_classes
from hwbench.models.stack import check_pixels
from hwbench.protocols import Autoencoder, Network, TrainSplit, labelled_part, labels_of

Count = Annotated[int, Field(ge=1)]


class FineTunedAutoencoder(Autoencoder, Network):
    """Stacked auto-associators, whose encoders become the net (Bengio et al., 2007).

    Each layer is trained separately to reconstruct the one below,

        h_l = σ(h_{l−1} W_l + c_l),   ĥ_{l−1} = σ(h_l V_l + b_l),   V_l = W_lᵀ where `tied`

    The net is h_1, …, h_L below a softmax layer; it does not use V_l and b_l.

    Args:
        layers: units of the hidden layers, the one next to the data first.
        tied: whether a layer reconstructs with its transposed encoder weights, or with separate
            weights.
        init: standard deviation of the initial weights over 1 / √inputs.
    """

    pretrained = True
    net: SigmoidNet

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        classes: int,
        layers: Annotated[list[Count], Field(min_length=1)],
        tied: bool = True,
        init: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        needs_classes("FineTunedAutoencoder", classes)
        self.visible, self.classes, self.layers = visible, classes, layers
        self.net = SigmoidNet(visible, layers, classes)
        self.net.randomise(init)
        sizes = [visible, *layers[:-1]]
        self.downward = nn.ParameterList(torch.zeros(n) for n in sizes)
        self.decoders = nn.ParameterList(
            init / above**0.5 * torch.randn(above, below)
            for above, below in zip(layers, sizes, strict=True)
            if not tied
        )

    @classmethod
    def tiny(cls) -> FineTunedAutoencoder:
        """Return four visible units, hidden layers of three and two, and three classes."""
        return cls(visible=4, classes=3, layers=[3, 2])

    def adapt(self, train: TrainSplit) -> None:
        """Reject pixels that cannot be reconstructed and labels that do not suit fine-tuning.

        Raises:
            ValueError: a pixel is not between 0 and 1, or labels do not match.
        """
        labels_of(labelled_part(train), self.classes)
        check_pixels("FineTunedAutoencoder", train)

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return h_layer, detached; x for layer 0."""
        for encoder in self.net.layers[:layer]:
            x = encoder(x).sigmoid()
        return x

    def reconstruct(self, below: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b d"]:
        """Return h_l V_l + b_l.

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(
                f"FineTunedAutoencoder.reconstruct: expected a layer from 1 to {len(self.layers)}; "
                f"{layer=}"
            )
        encoder = self.net.layers[layer - 1]
        assert isinstance(encoder, nn.Linear)
        h = encoder(below).sigmoid()
        decoder = self.decoders[layer - 1] if len(self.decoders) else encoder.weight
        return torch.addmm(self.downward[layer - 1], h, decoder)

    def start(self) -> None:
        """Keep the encoders, and start the softmax layer at small random weights."""
        self.net.start_top()
