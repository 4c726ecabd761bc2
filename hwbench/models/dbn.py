"""Deep belief network with binary units."""

# Dims: K samples, B points, D observed units, H units of a layer.

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.dbm import _Pair, check_pixels
from hwbench.protocols import Couplings, GenerativeModel, Latents, Stack, TrainSplit

Count = Annotated[int, Field(ge=1)]


class DBN(Stack, GenerativeModel):
    """p(x, h) = p(h_{L−1}, h_L) Π_{l<L} p(h_{l−1} | h_l): an RBM above directed layers.

    Hinton, Osindero & Teh (2006). Layers are learned greedily as RBMs (`pretraining.GreedyCD`);
    the weights of a directed layer serve both ways, in p(h_{l−1} | h_l) = σ(h_l W_lᵀ + b_{l−1}) and
    in q(h_l | h_{l−1}) = σ(h_{l−1} W_l + c_l).

    Args:
        layers: units of the hidden layers, the one next to the data first; one makes it an RBM.
        init: standard deviation of the initial weights.
        visible_bias: start b_0 at the log odds of the training pixels, or at zero.
    """

    data_means: Tensor

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        layers: Annotated[list[Count], Field(min_length=1)],
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        self.visible, self.layers, self.start_at = visible, layers, visible_bias
        sizes = [visible, *layers]
        self.weights = nn.ParameterList(init * torch.randn(a, b) for a, b in pairwise(sizes))
        self.upward = nn.ParameterList(torch.zeros(n) for n in layers)
        self.downward = nn.ParameterList(torch.zeros(n) for n in sizes[:-1])
        self.register_buffer("data_means", torch.full((visible,), 0.5))

    @classmethod
    def tiny(cls) -> DBN:
        """Return four visible units and two hidden layers of three and two."""
        return cls(visible=4, layers=[3, 2])

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Keep the pixel means and start the visible biases from them.

        Raises:
            ValueError: a pixel is not between 0 and 1.
        """
        check_pixels("DBN", train)
        self.data_means.copy_(train.means())
        if self.start_at == "data":
            self.downward[0].copy_(self.data_means.clamp(0.01, 0.99).logit())

    def pair(self, layer: int) -> _Pair:
        """Return the RBM between h_{layer−1} and h_layer.

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(f"DBN.pair: expected a layer from 1 to {len(self.layers)}; {layer=}")
        below = layer - 1
        own = Couplings(self.weights[below], self.downward[below], self.upward[below])
        return _Pair(own, self.data_means)

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer, each layer's from the means below it; x for layer 0."""
        for below in range(1, layer + 1):
            x = self.pair(below).up(x).sigmoid_()
        return x

    @torch.no_grad()
    def infer(self, x: Float[Tensor, "b d"], k: int) -> tuple[Latents, Float[Tensor, "k b"]]:
        """Draw h_1, …, h_{L−1} ~ q(h | x), each [K, B, H], and return them with their log q."""
        below, h = x.expand(k, *x.shape), []
        log_q = x.new_zeros(k, len(x))
        for layer in range(1, len(self.layers)):
            logits = self.pair(layer).up(below.flatten(0, 1)).view(k, len(x), -1)
            below = torch.bernoulli(logits.sigmoid())
            log_q += _log_bernoulli(logits, below)
            h.append(below)
        return h, log_q

    def log_joint(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return log p(x, h_1, …, h_{L−1}) + log Z, with h_L summed out and Z of the top RBM.

        So E_q[log_joint − log q] ≤ log p(x) + log Z (Salakhutdinov & Murray, 2008, section 4).
        """
        k = h[0].shape[0] if h else 1
        states = [x.expand(k, *x.shape), *h]
        top = states[-1].flatten(0, 1)
        total = -self.pair(len(self.layers)).free_energy(top).view(k, -1)
        for layer, (below, above) in enumerate(pairwise(states), 1):
            logits = self.pair(layer).down(above.flatten(0, 1)).view(below.shape)
            total = total + _log_bernoulli(logits, below)
        return total

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return visible means below a top RBM after `sweeps` Gibbs sweeps from fair coins."""
        top = self.pair(len(self.layers))
        start = self.data_means.new_full((n, top.visible), 0.5).bernoulli()
        h = top.down(top.up(top.gibbs(start, sweeps)).sigmoid_().bernoulli()).sigmoid_()
        for layer in range(len(self.layers) - 1, 0, -1):
            h = self.pair(layer).down(h.bernoulli()).sigmoid_()
        return h


def _log_bernoulli(logits: Tensor, h: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logits, h, reduction="none").sum(-1)
