"""Deep belief network with binary units."""

# Dims: K samples, B points, D observed units, H units of a layer.

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.stack import BinaryStack
from hwbench.protocols import BeliefNetwork, Couplings, Inferred, Latents


class DBN(BinaryStack, BeliefNetwork):
    """p(x, h) = p(h_{L−1}, h_L) Π_{l<L} p(h_{l−1} | h_l): an RBM above directed layers.

    Hinton, Osindero & Teh (2006). Layers are learned greedily as RBMs (`pretraining.GreedyCD`).
    The weights of a directed layer are used in both directions, in
    p(h_{l−1} | h_l) = σ(h_l W_lᵀ + b_{l−1}) and in q(h_l | h_{l−1}) = σ(h_{l−1} W_l + c_l).

    Args:
        layers: units of the hidden layers, the one next to the data first; a single layer gives
            an RBM.
        init: standard deviation of the initial weights.
        visible_bias: start b_0 at the log odds of the training pixels, or at zero.
    """

    def add_biases(self, sizes: list[int]) -> None:
        """Create the biases of both directions.

        Raises:
            ValueError: there is no hidden layer.
        """
        if len(sizes) < 2:
            raise ValueError("DBN: needs one or more hidden layers; found none")
        self.upward = nn.ParameterList(torch.zeros(n) for n in sizes[1:])
        self.downward = nn.ParameterList(torch.zeros(n) for n in sizes[:-1])

    def rbm(self, layer: int) -> tuple[Couplings, float, float]:
        """Return the parameters of a plain RBM between h_{layer−1} and h_layer."""
        below = layer - 1
        own = Couplings(self.weights[below], self.downward[below], self.upward[below])
        return own, 1.0, 1.0

    def downwards(self, layer: int, above: Float[Tensor, "b h"]) -> Float[Tensor, "b d"]:
        """Return the log odds of h_{layer−1} given h_layer, below the top."""
        return self.pair(layer).down(above)

    @torch.no_grad()
    def infer(self, x: Float[Tensor, "b d"], k: int) -> Inferred:
        """Draw h_1, …, h_{L−1} ~ q(h | x), each [K, B, H], and return them with their log q."""
        below, h = x.expand(k, *x.shape), []
        log_q = x.new_zeros(k, len(x))
        for layer in range(1, len(self.layers)):
            logits = _each(self.upwards, layer, below)
            below = logits.sigmoid().bernoulli()
            log_q += _log_bernoulli(logits, below)
            h.append(below)
        return Inferred(h, log_q)

    def log_q(self, h: Latents, x: Float[Tensor, "b d"]) -> Float[Tensor, "k b"]:
        """Return Σ_{l<L} log q(h_l | h_{l−1})."""
        states = _states(x, h)
        total = x.new_zeros(states[0].shape[:2])
        for layer, (below, above) in enumerate(pairwise(states), 1):
            total = total + _log_bernoulli(_each(self.upwards, layer, below), above)
        return total

    def log_directed(self, x: Float[Tensor, "b d"], h: Latents) -> Float[Tensor, "k b"]:
        """Return Σ_{l<L} log p(h_{l−1} | h_l)."""
        states = _states(x, h)
        total = x.new_zeros(states[0].shape[:2])
        for layer, (below, above) in enumerate(pairwise(states), 1):
            total = total + _log_bernoulli(_each(self.downwards, layer, above), below)
        return total

    @torch.no_grad()
    def descend(self, top: Float[Tensor, "n h"]) -> tuple[Float[Tensor, "n d"], Latents]:
        """Draw h_{L−2}, …, h_1 and x given states of h_{L−1}."""
        states = [top]
        for layer in range(len(self.layers) - 1, 0, -1):
            states.insert(0, self.downwards(layer, states[0]).sigmoid_().bernoulli())
        return states[0], states[1:]

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return visible means after `sweeps` Gibbs sweeps of the top RBM from fair coins."""
        top = self.pair(len(self.layers))
        start = self.data_means.new_full((n, top.visible), 0.5).bernoulli()
        h = top.down(top.up(top.gibbs(start, sweeps)).sigmoid_().bernoulli()).sigmoid_()
        for layer in range(len(self.layers) - 1, 0, -1):
            h = self.downwards(layer, h.bernoulli()).sigmoid_()
        return h


class UntiedDBN(DBN):
    """A DBN whose directed layers have separate generative and recognition weights.

    Below the top the generative weights are W_l + G_l and the recognition weights W_l + R_l. W_l
    comes from greedy learning and then stays fixed. G_l and R_l are zero until a rule such as
    `updown.UpDown` moves them. The biases are separate from the start.
    """

    def add_biases(self, sizes: list[int]) -> None:
        """Create the biases, and G_l and R_l for each layer below the top.

        Raises:
            ValueError: there is no hidden layer.
        """
        super().add_biases(sizes)
        shapes = [weight.shape for weight in self.weights][:-1]
        self.down_offsets = nn.ParameterList(torch.zeros(shape) for shape in shapes)
        self.up_offsets = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def upwards(self, layer: int, below: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Return the log odds of h_layer given h_{layer−1} in q, or in the top RBM."""
        if layer == len(self.layers):
            return super().upwards(layer, below)
        weight = self.weights[layer - 1].detach() + self.up_offsets[layer - 1]
        return torch.addmm(self.upward[layer - 1], below, weight)

    def downwards(self, layer: int, above: Float[Tensor, "b h"]) -> Float[Tensor, "b d"]:
        """Return the log odds of h_{layer−1} given h_layer, below the top."""
        weight = self.weights[layer - 1].detach() + self.down_offsets[layer - 1]
        return torch.addmm(self.downward[layer - 1], above, weight.t())


def _each(
    logits: Callable[[int, Tensor], Tensor], layer: int, h: Float[Tensor, "k b d"]
) -> Float[Tensor, "k b h"]:
    """Return the log odds for every sample of every point."""
    return logits(layer, h.flatten(0, 1)).view(*h.shape[:2], -1)


def _states(x: Tensor, h: Latents) -> Latents:
    """Return all layers [K, B, H], starting with x."""
    return [x.expand(h[0].shape[0] if h else 1, *x.shape), *h]


def _log_bernoulli(logits: Tensor, h: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logits, h, reduction="none").sum(-1)
