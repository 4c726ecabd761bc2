"""Restricted Boltzmann machine with real observed units and binary hidden units."""

# Dims: *B any leading dims, B points, D observed units, H hidden units.

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.rbm import ENUMERABLE
from hwbench.protocols import RealEnergyModel, TrainSplit


class GaussianRBM(RealEnergyModel):
    """p(x, h) ∝ exp(−‖x − b‖² / 2s² + c·h + x W h / s), x real and h binary.

    Hinton & Salakhutdinov (2006). Given the other side, the units of one side are independent:

        p(h_j = 1 | x) = σ(c_j + x·W_j / s),   p(x | h) = N(b + s W h, s² I)

    Args:
        hidden: number of hidden units H.
        init: standard deviation of the initial weights.
        spread: s, the same for all observed units; 1 suits standardised data.
        visible_bias: start b at the means of the training data, or at zero.
    """

    data_means: Tensor

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        hidden: Annotated[int, Field(ge=1)] = 500,
        init: Annotated[float, Field(ge=0)] = 0.01,
        spread: Annotated[float, Field(gt=0)] = 1.0,
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        if not spread > 0:
            raise ValueError(f"GaussianRBM: expected a spread above 0, found {spread}")
        self.visible, self.spread, self.start_at = visible, spread, visible_bias
        self.weight = nn.Parameter(init * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("data_means", torch.zeros(visible))

    @classmethod
    def tiny(cls) -> GaussianRBM:
        """Return two observed and three hidden units."""
        return cls(visible=2, hidden=3, spread=0.8)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Store the means of the data and start the visible biases from them."""
        self.data_means.copy_(train.means())
        if self.start_at == "data":
            self.visible_bias.copy_(self.data_means)

    def energy(self, x: Float[Tensor, "*b d"], h: Float[Tensor, "*b h"]) -> Float[Tensor, "*b"]:
        """Return E(x, h) = ‖x − b‖² / 2s² − c·h − x W h / s."""
        interaction = ((x / self.spread @ self.weight) * h).sum(-1)
        return self._distance(x) - h @ self.hidden_bias - interaction

    def free_energy(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return F(x) = ‖x − b‖² / 2s² − Σ_j softplus(c_j + x·W_j / s).

        >>> GaussianRBM(4, hidden=3).free_energy(torch.zeros(5, 4)).shape
        torch.Size([5])
        """
        return self._distance(x) - F.softplus(self.hidden_logits(x)).sum(-1)

    def _distance(self, x: Tensor) -> Tensor:
        return ((x - self.visible_bias) / self.spread).square().sum(-1) / 2

    def hidden_logits(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """Return the log odds of p(h_j = 1 | x)."""
        return F.linear(x / self.spread, self.weight.t(), self.hidden_bias)

    def visible_means(self, h: Float[Tensor, "*b h"]) -> Float[Tensor, "*b d"]:
        """Return the means of p(x | h)."""
        return self.visible_bias + self.spread * F.linear(h, self.weight)

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return x after k sweeps h ~ p(h | x), x ~ p(x | h), detached."""
        if k < 0:
            raise ValueError(f"GaussianRBM.gibbs: expected k ≥ 0 sweeps, found {k}")
        for _ in range(k):
            means = self.visible_means(self.hidden_logits(x).sigmoid_().bernoulli())
            x = torch.add(means, torch.randn_like(means), alpha=self.spread)
        return x

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return means of p(x | h) after `sweeps` Gibbs sweeps from N(data means, s² I)."""
        x = self.data_means + self.spread * torch.randn_like(self.data_means.expand(n, -1))
        return self.visible_means(self.hidden_logits(self.gibbs(x, sweeps)).sigmoid().bernoulli())

    @torch.no_grad()
    def log_partition(self) -> Float[Tensor, ""]:
        """Return log Z exactly, in float64: x is integrated out, and h is summed over.

            Z = (2π s²)^(D/2) Σ_h exp(c·h + b·W h / s + ‖W h‖² / 2)

        Raises:
            ValueError: there are more than 25 hidden units.
        """
        weight, b, c = (p.double() for p in (self.weight, self.visible_bias, self.hidden_bias))
        if len(c) > ENUMERABLE:
            raise ValueError(
                f"GaussianRBM.log_partition: {len(c)} hidden units are too many to enumerate "
                f"(at most {ENUMERABLE})"
            )
        linear, square = c + b @ weight / self.spread, weight.t() @ weight
        bits = torch.arange(len(c), device=c.device)
        total = c.new_tensor(-torch.inf)
        for states in torch.arange(2 ** len(c), device=c.device).split(2**14):
            h = (states[:, None] >> bits & 1).double()
            log_p = h @ linear + ((h @ square) * h).sum(1) / 2
            total = torch.logaddexp(total, log_p.logsumexp(0))
        return total + len(b) / 2 * math.log(2 * math.pi * self.spread**2)
