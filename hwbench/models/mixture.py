"""Mixture of multivariate Bernoullis: one categorical latent, exact likelihood."""

# Dims: B points, D observed units, C components.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import Mixture


class BernoulliMixture(Mixture):
    """p(x) = Σ_c π_c Π_d μ_cd^x_d (1 − μ_cd)^(1 − x_d), parameterised by logits of π and μ.

    All values of the logits are valid, so gradient rules can train it as well as EM.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        components: Annotated[int, Field(ge=1)] = 500,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.weights = nn.Parameter(torch.zeros(components))  # log π + constant
        self.logits = nn.Parameter(0.01 * torch.randn(components, visible))

    @classmethod
    def tiny(cls) -> BernoulliMixture:
        """Return three components over four pixels."""
        return cls(visible=4, components=3)

    def log_joint(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return log p(x, c) = log π_c + Σ_d log Bern(x_d; μ_cd): one matrix product.

        >>> BernoulliMixture(4, components=3).log_joint(torch.ones(5, 4)).shape
        torch.Size([5, 3])
        """
        # x log μ + (1 − x) log(1 − μ) = x logit(μ) − softplus(logit(μ))
        constant = self.weights.log_softmax(0) - F.softplus(self.logits).sum(1)
        return torch.addmm(constant, x, self.logits.t())

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) of each point, in nats."""
        return self.log_joint(x).logsumexp(1)

    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means μ_c of n components c ~ π."""
        return (
            self.logits[self.weights.softmax(0).multinomial(n, replacement=True)].detach().sigmoid()
        )
