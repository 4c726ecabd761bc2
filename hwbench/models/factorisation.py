"""Factorisation of binary images into parts that only add: weights are not negative.

Dims: *S leading dims (samples, points), K samples or factors, B points, N dreams, D observed units.
"""

from __future__ import annotations

import math
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.layers import log_bernoulli
from hwbench.protocols import (
    ExponentialDreamer,
    FactorModel,
    HelmholtzMachine,
    Inferred,
    Latents,
    PriorModel,
)

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
EDGE = 1e-6  # what is read as a logit keeps this distance from 0 and 1
SHAPE, RATE = 0.9, 0.3  # of the Gamma prior of a weight
LOG_2PI = math.log(2 * math.pi)


class Parts(nn.Module):
    """W = exp(V) [K, D] and b [D].

    Raises:
        ValueError: the range of initial weights is empty.
    """

    def __init__(self, factors: int, visible: int, start: tuple[float, float], bias: float) -> None:
        super().__init__()
        low, high = start
        if not 0 < low <= high:
            raise ValueError(f"start must be a range of weights above 0 (found {list(start)})")
        self.log_weight = nn.Parameter(torch.empty(factors, visible).uniform_(low, high).log())
        self.bias = nn.Parameter(torch.full((visible,), bias))

    def forward(self, z: Float[Tensor, "*s k"]) -> Float[Tensor, "*s d"]:
        """Return the logits of x."""
        return F.linear(z.logit(EDGE), self.log_weight.exp().T, self.bias)


class _Factorised(FactorModel, PriorModel):
    """What both models share: weights and their prior, densities, dreams."""

    generative: Parts

    def factors(self) -> Float[Tensor, "k d"]:
        """Return W."""
        return self.generative.log_weight.exp()

    def offsets(self) -> Float[Tensor, "d"]:
        """Return b."""
        return self.generative.bias

    def log_parameter_prior(self) -> Float[Tensor, ""]:
        """Return Σ (a − 1) log W − r W, the Gamma prior of every weight."""
        log_weight = self.generative.log_weight
        return ((SHAPE - 1) * log_weight - RATE * log_weight.exp()).sum()

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | z)."""
        return log_bernoulli(x, self.generative(h[0]))

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, z) = log p(x | z), since p(z) = 1."""
        return self.log_likelihood(x, h)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and z [n, K]."""
        z = self._latents(n)
        means = self.generative(z).sigmoid()
        return (torch.rand_like(means) < means).to(means.dtype), [z]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means of x of n samples of z."""
        return self.generative(self._latents(n)).sigmoid()  # type: ignore[no-any-return]

    def _latents(self, n: int) -> Float[Tensor, "n k"]:
        weight = self.generative.log_weight
        z = torch.rand(n, len(weight), dtype=weight.dtype, device=weight.device)
        return z.clamp(EDGE, 1 - EDGE)


class NonnegativeFactorisation(_Factorised, ExponentialDreamer):
    """z_k ~ U(0, 1), x ~ Bern(σ(logit(z) W + b)), W ≥ 0 (Wenliang et al., 2020).

    Weights have the prior Gamma(0.9, rate 0.3) and are learned as their logarithms.

    Args:
        visible: observed units D.
        factors: K.
        start: range of uniform initial weights.
        bias: initial b.

    Raises:
        ValueError: `start` is not a range of positive numbers.
    """

    def __init__(
        self,
        visible: int,
        factors: Count = 100,
        start: tuple[Positive, Positive] = (0.03, 0.03),
        bias: float = 0.1,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.generative = Parts(factors, visible, start, bias)

    @classmethod
    def tiny(cls) -> NonnegativeFactorisation:
        """Return two factors of four pixels."""
        return cls(visible=4, factors=2, start=(0.3, 1.5))

    def natural(self, h: Latents) -> Float[Tensor, "n d"]:
        """Return the logits of x, with gradients to θ (which the authors' code cuts)."""
        return self.generative(h[0])  # type: ignore[no-any-return]

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_d softplus(a_d) at the logits a; log p(z) is 0."""
        return F.softplus(self.generative(h[0])).sum(1)

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return S(x) = x."""
        return x


class FactorisationVAE(_Factorised, HelmholtzMachine):
    """`NonnegativeFactorisation` with a recognition net: logit z | x ~ N(m(x), diag s²(x)).

    Args:
        visible: observed units D.
        factors: K.
        start: range of uniform initial weights.
        bias: initial b.
        hidden: units of the recognition net's only hidden layer, with ReLUs.

    Raises:
        ValueError: `start` is not a range of positive numbers.
    """

    generative: Parts
    recognition: nn.Sequential

    def __init__(
        self,
        visible: int,
        factors: Count = 100,
        start: tuple[Positive, Positive] = (0.03, 0.03),
        bias: float = 0.1,
        hidden: Count = 200,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.generative = Parts(factors, visible, start, bias)
        self.recognition = nn.Sequential(
            nn.Linear(visible, hidden), nn.ReLU(), nn.Linear(hidden, 2 * factors)
        )

    @classmethod
    def tiny(cls) -> FactorisationVAE:
        """Return two factors of four pixels, and a narrow q, whose density has light tails."""
        model = cls(visible=4, factors=2, start=(0.3, 1.5), hidden=5)
        with torch.no_grad():
            cast(nn.Linear, model.recognition[-1]).bias[2:].sub_(2)  # log s
        return model

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples per point with their log q."""
        mean, log_scale = self.recognition(x).chunk(2, dim=-1)
        noise = torch.randn(k, *mean.shape, dtype=mean.dtype, device=mean.device)
        u = torch.addcmul(mean, log_scale.exp(), noise)
        u = u if pathwise else u.detach()
        return Inferred([u.sigmoid()], _logit_normal(u, mean, log_scale))

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(z | x) at given latents."""
        mean, log_scale = self.recognition(x).chunk(2, dim=-1)
        return _logit_normal(h[0].logit(EDGE), mean, log_scale)


def _logit_normal(
    u: Float[Tensor, "*s k"], mean: Float[Tensor, "*t k"], log_scale: Float[Tensor, "*t k"]
) -> Float[Tensor, "*u"]:
    """Return log N(u; m, s²) − log z (1 − z) at z = σ(u), summed over factors."""
    standard = (u - mean) * (-log_scale).exp()
    jacobian = F.logsigmoid(u) + F.logsigmoid(-u)
    return (-0.5 * (standard.square() + LOG_2PI) - log_scale - jacobian).sum(-1)
