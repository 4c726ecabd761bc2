"""Greedy layer-wise pretraining of a stack by contrastive divergence."""

# Dims: B points, D observed units.

from __future__ import annotations

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import Rule, Stack
from hwbench.rules.contrastive import ContrastiveDivergence


class GreedyCD(Rule[Stack]):
    """CD-k for one pair of neighbouring layers of a stack (Hinton et al., 2006).

    A stage for each layer, from the lowest up: the points go up through the layers below, whose
    means are drawn as binary units, and train the stack's RBM between layers `layer` − 1 and
    `layer`. What else the RBM has (as the doubled inputs of a deep Boltzmann machine, or real
    observed units) is the stack's affair. Grey pixels are drawn too, afresh each time.

    Args:
        layer: number of the layer that is learned, 1 next to the data.
        k: sweeps per step.
        k_schedule: as in `contrastive.ContrastiveDivergence`.
        weight_decay: coefficient of ½‖W‖².
    """

    def __init__(
        self,
        layer: Annotated[int, Field(ge=1)] = 1,
        k: Annotated[int, Field(ge=1)] = 1,
        k_schedule: list[list[int | float]] | None = None,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.divergence = ContrastiveDivergence(k, k_schedule, weight_decay=weight_decay)

    def check(self, model: Stack) -> None:
        """Refuse a stack that has no such layer.

        Raises:
            ValueError: `layer` is above the top.
        """
        check_layer(self.layer, model.layers)

    def advance(self, fraction: float) -> None:
        """Set the number of sweeps that the schedule gives for this fraction of training."""
        self.divergence.advance(fraction)

    def forward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return mean F(h) − mean F(h⁻) of the pair, h the points in the layer below it."""
        below = model.below(x, self.layer)
        loss: Tensor = self.divergence(model.pair(self.layer), below)
        return loss

    def backward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the pair's own `contrast`."""
        return self.divergence.backward(model.pair(self.layer), model.below(x, self.layer))


def check_layer(layer: int, layers: list[int]) -> None:
    """Refuse to learn a layer above the top.

    Raises:
        ValueError: there is no such layer.
    """
    if layer > len(layers):
        raise ValueError(
            f"there is no layer {layer} to pretrain; the model has {len(layers)} hidden layers: "
            f"{layers}"
        )
