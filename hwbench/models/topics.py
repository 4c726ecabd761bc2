"""Latent Dirichlet allocation, a mixture of topics in each text."""

# Dims: B texts, V words of the vocabulary, K topics.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import TopicMixture, TrainSplit, check_counts

_CHUNK = 500  # texts


class LatentDirichlet(TopicMixture):
    """Latent Dirichlet allocation (Blei, Ng & Jordan, 2003) with fixed topics.

    θ ~ Dirichlet(α), and each word is drawn from Σ_k θ_k β_k. The bound uses a factorised posterior
    with a Dirichlet(γ) for θ and a categorical for each word's topic, iterated until γ converges.
    With one topic this is the unigram model: words are independent, and the bound is exact.

    Args:
        topics: number of topics K.
        prior: α, the same for every topic; 1 / K by default.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        topics: Annotated[int, Field(ge=1)] = 50,
        prior: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__()
        self.visible, self.prior = visible, 1 / topics if prior is None else prior
        self.register_buffer("shares", torch.full((topics, visible), 1 / visible))

    @classmethod
    def tiny(cls) -> LatentDirichlet:
        """Return three words and two topics."""
        return cls(visible=3, topics=2)

    def adapt(self, train: TrainSplit) -> None:
        """Check the counts.

        Raises:
            ValueError: they are negative or fractional.
        """
        check_counts(train.values)

    @torch.no_grad()
    def keep(self, shares: Float[Tensor, "k v"]) -> None:
        """Store the words' probabilities in each topic."""
        self.shares.copy_(shares)

    @torch.no_grad()
    def posterior(self, x: Float[Tensor, "b v"], iterations: int = 100) -> Float[Tensor, "b k"]:
        """Return γ after at most `iterations` iterations, in float64."""
        x, shares = x.double(), self.shares.double()
        gamma = self.prior + x.sum(1, keepdim=True) / len(shares)
        gamma = gamma.expand(-1, len(shares))
        for _ in range(iterations):
            mean = _expected_log(gamma).exp()
            old, gamma = gamma, self.prior + mean * ((x / (mean @ shares)) @ shares.t())
            if float((gamma - old).abs().mean()) < 1e-3:
                break
        return gamma

    @torch.no_grad()
    def bound(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b"]:
        """Return E_q[log p(θ) + Σ_words log p(word, topic | θ)] + H(q), at the best q found."""
        found = [self._bound(part.double()) for part in x.split(_CHUNK)]
        return torch.cat(found).to(x.dtype)

    def _bound(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b"]:
        gamma = self.posterior(x)
        log_theta, k = _expected_log(gamma), len(self.shares)
        words = (x * (log_theta.exp() @ self.shares.double()).log()).sum(1)
        prior = torch.tensor(self.prior, dtype=torch.float64, device=x.device)
        p = (k * prior).lgamma() - k * prior.lgamma() + ((prior - 1) * log_theta).sum(1)
        q = gamma.sum(1).lgamma() - gamma.lgamma().sum(1) + ((gamma - 1) * log_theta).sum(1)
        return words + p - q

    def represent(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b f"]:
        """Return E_q[θ]."""
        gamma = torch.cat([self.posterior(part) for part in x.split(_CHUNK)])
        return (gamma / gamma.sum(1, keepdim=True)).to(x.dtype)


def _expected_log(gamma: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return E[log θ] under Dirichlet(γ)."""
    return gamma.digamma() - gamma.sum(1, keepdim=True).digamma()
