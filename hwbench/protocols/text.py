"""Counts of words: what may be asked of models of texts."""

# Dims: *B any leading dims, B points, V words of the vocabulary, F features.

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.protocols.boltzmann import RealEnergyModel
from hwbench.protocols.models import Model


def check_counts(counts: Tensor) -> None:
    """Reject values that cannot be word counts.

    Raises:
        ValueError: a count is negative, or not a whole number.
    """
    wrong = (counts < 0) | (counts != counts.round())
    if wrong.any():
        raise ValueError(
            f"counts of words must be whole numbers from 0; found {float(counts[wrong][0]):g}"
        )


def log_shares(means: Float[Tensor, "v"]) -> Float[Tensor, "v"]:
    """Return log word frequencies, after mixing in 5 % of the uniform distribution."""
    shares = means / means.sum()
    return (0.95 * shares + 0.05 / len(shares)).log()


def draw_words(
    logits: Float[Tensor, "b v"],
    words: Float[Tensor, "b"],
    most: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b v"]:
    """Draw texts with given numbers of words from categorical logits; return their counts.

    Args:
        logits: logits of the words in each text.
        words: number of words of each text.
        most: the largest of these numbers.
        generator: source of random numbers; torch's own by default.
    """
    edges = logits.softmax(1).cumsum(1)
    u = edges.new_empty(len(logits), most).uniform_(generator=generator)
    drawn = torch.searchsorted(edges, u * edges[:, -1:], right=True).clamp_(max=logits.shape[1] - 1)
    present = (torch.arange(most, device=u.device) < words[:, None]).to(logits.dtype)
    return torch.zeros_like(logits).scatter_add_(1, drawn, present)


class TextModel(Model):
    """A model of word counts that represents a text by a few numbers."""

    observed: Literal["binary", "real"] = "real"

    @abstractmethod
    def represent(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b f"]:
        """Return features of texts, which are compared by their angles; detached."""


class TopicMixture(TextModel):
    """A model whose words come from a mixture of topics, with a bound on the log-probability.

    Attributes:
        shares: [K, V], the words' probabilities in each of K topics.
        prior: parameter of the symmetric Dirichlet prior over topics.
    """

    shares: Tensor
    prior: float

    @abstractmethod
    def keep(self, shares: Float[Tensor, "k v"]) -> None:
        """Store the words' probabilities."""

    @abstractmethod
    def bound(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b"]:
        """Return a lower bound on log p of each text, with words in a given order, in nats."""


class CountEnergyModel(RealEnergyModel):
    """An energy model whose observed units are word counts.

    exp(−F(x)) is proportional to the probability of a text with these counts and its words in a
    given order, so texts of different lengths have different partition functions.

    Attributes:
        length: number of words to which all texts are scaled, or their `own`.
    """

    length: int | Literal["own"]

    @abstractmethod
    def word_logits(self, h: Float[Tensor, "b h"]) -> Float[Tensor, "b v"]:
        """Return the logits of each word given the hidden units."""

    @abstractmethod
    def hidden_input(
        self, x: Float[Tensor, "b v"], words: Float[Tensor, "b"]
    ) -> Float[Tensor, "b h"]:
        """Return the logits of the hidden units given counts and their sum."""

    @abstractmethod
    def scaled(self, x: Float[Tensor, "*b v"]) -> Float[Tensor, "*b v"]:
        """Return the counts scaled to `length` words."""
