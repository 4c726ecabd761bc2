"""Greedy layer-wise pretraining of a stack by contrastive divergence."""

# Dims: B points, D observed units.

from __future__ import annotations

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import RealEnergyModel, Rule, Stack
from hwbench.rules.contrastive import ContrastiveDivergence


class GreedyCD(Rule[Stack]):
    """CD-k for one pair of neighbouring layers of a stack (Hinton et al., 2006).

    There is one stage for each layer, from the lowest up. The points pass up through the layers
    below, whose means are drawn as binary units, and train the stack's RBM between layers
    `layer` − 1 and `layer`. The stack defines any special form of the RBM, such as the doubled
    inputs of a deep Boltzmann machine or real observed units. Grey pixels are drawn, too, anew
    each time.

    Args:
        layer: number of the layer that is learned; 1 is next to the data.
        k: sweeps per step.
        k_schedule: as in `contrastive.ContrastiveDivergence`.
        weight_decay: coefficient of ½‖W‖².
        precision: of the Gibbs sweeps, as in `boltzmann.MeanFieldPCD`; only for binary layers.
    """

    def __init__(
        self,
        layer: Annotated[int, Field(ge=1)] = 1,
        k: Annotated[int, Field(ge=1)] = 1,
        k_schedule: list[list[int | float]] | None = None,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        self.layer, self.precision = layer, precision
        self.divergence = ContrastiveDivergence(k, k_schedule, weight_decay=weight_decay)

    def check(self, model: Stack) -> None:
        """Reject a stack without this layer, and low precision for real units.

        Raises:
            ValueError: `layer` is above the top, or real units would have low precision.
        """
        check_layer(self.layer, model.layers)
        if self.precision != "float32" and isinstance(model.pair(self.layer), RealEnergyModel):
            raise ValueError(
                f"precision: {self.precision} is for binary units; the observed ones of layer "
                f"{self.layer} are real"
            )

    def advance(self, fraction: float) -> None:
        """Set the number of sweeps for this fraction of training from the schedule."""
        self.divergence.advance(fraction)

    def forward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return mean F(h) − mean F(h⁻) of the pair; h are the points in its lower layer."""
        loss: Tensor = self.divergence(model.pair(self.layer), self._below(model, x))
        return loss

    def backward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the pair's `contrast`."""
        return self.divergence.backward(model.pair(self.layer), self._below(model, x))

    def _below(self, model: Stack, x: Tensor) -> Tensor:
        below = model.below(x, self.layer)
        return below.bfloat16() if self.precision == "bfloat16" else below


def check_layer(layer: int, layers: list[int]) -> None:
    """Reject a layer above the top.

    Raises:
        ValueError: there is no such layer.
    """
    if layer > len(layers):
        raise ValueError(
            f"there is no layer {layer} to pretrain; the model has {len(layers)} hidden layers: "
            f"{layers}"
        )
