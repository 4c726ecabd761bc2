"""Sigmoid belief nets, as an exponential family given their first layer.

Dims: B points, N dreams, D observed units.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.models.helmholtz import BinaryHelmholtzMachine, Count
from hwbench.models.layers import Init, Layer
from hwbench.protocols import ExponentialDreamer, Latents


class SigmoidBeliefNet(BinaryHelmholtzMachine, ExponentialDreamer):
    """A `BinaryHelmholtzMachine` of sigmoid layers alone, with its exponential form.

        log p(x, h) = a·x − Σ_d softplus(a_d) + log p(h),   a = W h_1 + b

    Args:
        visible: observed units D.
        layers: latent units, the layer next to the data first.
        bias: initial bias of all units; −1 by default.
        init: initialisation of the weights, as in `BinaryHelmholtzMachine`.
        output_bias: start the observed units' biases at `init`, or at the logits of the pixel means
            in the `data`.

    Raises:
        ValueError: there is no latent layer, or a size is below 1.
    """

    def __init__(
        self,
        visible: int,
        layers: Annotated[list[Count], Field(min_length=1)],
        bias: float | None = None,
        init: Init = "small",
        output_bias: Literal["init", "data"] = "init",
    ) -> None:
        super().__init__(visible, layers, bias=bias, init=init, output_bias=output_bias)

    @classmethod
    def tiny(cls) -> SigmoidBeliefNet:
        """Return a net of 3 + 2 latents over 4 pixels, small enough to enumerate."""
        return cls(visible=4, layers=[3, 2], init="glorot", bias=0.0)

    def natural(self, h: Latents) -> Float[Tensor, "n d"]:
        """Return a = W h_1 + b."""
        return cast(Layer, self.generative[0]).affine(h[0])  # type: ignore[no-any-return]

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_d softplus(a_d) − log p(h): −log p(x, h) at x = 0, where a·x vanishes."""
        nothing = h[0].new_zeros(len(h[0]), self.visible)
        return -self.log_joint(nothing, [h_l[None] for h_l in h])[0]

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return S(x) = x."""
        return x
