"""Restricted Boltzmann machine with binary units."""

# Dims: *B any leading dims, B points, N negative samples, D observed units, H hidden units.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import Couplings, EnergyModel, TrainSplit

ENUMERABLE = 25  # units; 2^25 states take seconds


class RBM(EnergyModel):
    """p(x, h) ∝ exp(b·x + c·h + x W h) with binary x and h (Smolensky, 1986; Hinton, 2002).

    Args:
        hidden: number of hidden units H.
        init: standard deviation of the initial weights.
        visible_bias: start b at the log odds of the training pixels (Hinton, 2010, section 8.1),
            or at zero.
        grey: accept training pixels between 0 and 1. They are then treated as probabilities, and
            the reported number is a score and not a likelihood.
    """

    data_means: Tensor

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        hidden: Annotated[int, Field(ge=1)] = 500,
        init: Annotated[float, Field(ge=0)] = 0.01,
        visible_bias: Literal["data", "zero"] = "data",
        grey: bool = False,
    ) -> None:
        super().__init__()
        self.visible, self.start_at, self.grey = visible, visible_bias, grey
        self.weight = nn.Parameter(init * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("data_means", torch.full((visible,), 0.5))

    @classmethod
    def tiny(cls) -> RBM:
        """Return four visible and three hidden units."""
        return cls(visible=4, hidden=3)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Store the pixel means and start the visible biases from them.

        Raises:
            ValueError: the pixels are grey and `grey` is not set.
        """
        if not (self.grey or train.resample or _is_binary(train)):
            raise ValueError(
                "RBM: its units are binary, but the training pixels are grey; use pixels: fixed, "
                "dynamic or threshold, or say grey: true to train on them as probabilities"
            )
        self.data_means.copy_(train.means())
        if self.start_at == "data":
            self.visible_bias.copy_(self.data_means.clamp(0.01, 0.99).logit())

    def couplings(self) -> Couplings:
        """Return W, b and c."""
        return Couplings(self.weight, self.visible_bias, self.hidden_bias)

    def energy(self, x: Float[Tensor, "*b d"], h: Float[Tensor, "*b h"]) -> Float[Tensor, "*b"]:
        """Return E(x, h) = −b·x − c·h − x W h."""
        interaction = ((x @ self.weight) * h).sum(-1)
        return -(x @ self.visible_bias) - h @ self.hidden_bias - interaction

    def free_energy(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return F(x) = −b·x − Σ_j softplus(c_j + x·W_j).

        >>> RBM(4, hidden=3).free_energy(torch.ones(5, 4)).shape
        torch.Size([5])
        """
        return -(x @ self.visible_bias) - F.softplus(self.hidden_logits(x)).sum(-1)

    def hidden_logits(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """Return the log odds of p(h_j = 1 | x)."""
        return F.linear(x, self.weight.t(), self.hidden_bias).to(self.weight.dtype)

    def visible_logits(self, h: Float[Tensor, "*b h"]) -> Float[Tensor, "*b d"]:
        """Return the log odds of p(x_i = 1 | h)."""
        return F.linear(h, self.weight, self.visible_bias).to(self.weight.dtype)

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b d"]:
        """Return x after k sweeps h ~ p(h | x), x ~ p(x | h), detached."""
        if k < 0:
            raise ValueError(f"RBM.gibbs: expected k ≥ 0 sweeps, found {k}")
        for _ in range(k):
            x = _draw(self.visible_logits(_draw(self.hidden_logits(x))))
        return x

    @torch.no_grad()
    def contrast(
        self, x: Float[Tensor, "b d"], negative: Float[Tensor, "n d"]
    ) -> Float[Tensor, ""]:
        """Add the gradient of mean F(x) − mean F(negative) to `.grad`; return it, detached.

        Two matrix products and no autograd:  ∇_W F(x) = −x σ(c + x W)ᵀ.
        """
        both = torch.cat([x, negative])
        sign = both.new_full((len(both), 1), 1 / len(negative))
        sign[: len(x)] = -1 / len(x)
        logits = self.hidden_logits(both)
        value = (both @ self.visible_bias + F.softplus(logits).sum(1)) @ sign
        h = logits.sigmoid_().mul_(sign)
        _add_grad(self.weight, both.t() @ h)
        _add_grad(self.visible_bias, (both.t() @ sign)[:, 0])
        _add_grad(self.hidden_bias, h.sum(0))
        return value[0]

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 1000) -> Float[Tensor, "n d"]:
        """Return visible means after `sweeps` Gibbs sweeps from Bernoulli(data means)."""
        x = self.data_means.expand(n, -1).bernoulli()
        return self.visible_logits(_draw(self.hidden_logits(self.gibbs(x, sweeps)))).sigmoid()

    @torch.no_grad()
    def log_partition(self) -> Float[Tensor, ""]:
        """Return log Z exactly, summing over the states of the smaller side, in float64.

        Raises:
            ValueError: both sides have more than 25 units.
        """
        weight, b, c = (p.double() for p in self.couplings())
        if len(b) < len(c):
            weight, b, c = weight.t(), c, b
        if len(c) > ENUMERABLE:
            raise ValueError(
                f"RBM.log_partition: {len(c)} units on the smaller side are too many to enumerate "
                f"(at most {ENUMERABLE}); estimate log Z by annealed importance sampling"
            )
        bits = torch.arange(len(c), device=c.device)
        total = c.new_tensor(-torch.inf)
        for states in torch.arange(2 ** len(c), device=c.device).split(2**14):
            h = (states[:, None] >> bits & 1).double()
            log_p = h @ c + F.softplus(torch.addmm(b, h, weight.t())).sum(1)
            total = torch.logaddexp(total, log_p.logsumexp(0))
        return total


def _draw(logits: Tensor) -> Tensor:
    """Return Bernoulli(σ(logits)) draws; overwrites the logits."""
    u = torch.rand_like(logits)
    return torch.lt(u, logits.sigmoid_(), out=u)  # u < p takes a third of torch.bernoulli's time.


def _add_grad(parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _is_binary(split: TrainSplit) -> bool:
    v = split.values
    return bool(((v == 0) | (v == split.scale)).all())
