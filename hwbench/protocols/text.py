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
    """Reject what cannot be counts of words.

    Raises:
        ValueError: a count is negative, or not a whole number.
    """
    wrong = (counts < 0) | (counts != counts.round())
    if wrong.any():
        raise ValueError(
            f"counts of words must be whole numbers from 0; found {float(counts[wrong][0]):g}"
        )


def log_shares(means: Float[Tensor, "v"]) -> Float[Tensor, "v"]:
    """Return the log of each word's share among all, with 5 % of the shares spread evenly."""
    shares = means / means.sum()
    return (0.95 * shares + 0.05 / len(shares)).log()


def draw_words(
    logits: Float[Tensor, "b v"],
    words: Float[Tensor, "b"],
    most: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b v"]:
    """Draw texts of so many words each, from the words' log odds; return their counts.

    Args:
        logits: of the words of each text, up to a constant.
        words: number of words of each text.
        most: the largest of these numbers.
        generator: of the random numbers; torch's own by default.
    """
    edges = logits.softmax(1).cumsum(1)
    u = edges.new_empty(len(logits), most).uniform_(generator=generator)
    drawn = torch.searchsorted(edges, u * edges[:, -1:], right=True).clamp_(max=logits.shape[1] - 1)
    present = (torch.arange(most, device=u.device) < words[:, None]).to(logits.dtype)
    return torch.zeros_like(logits).scatter_add_(1, drawn, present)


class TextModel(Model):
    """A model of counts of words, which turns a text into a few numbers."""

    observed: Literal["binary", "real"] = "real"

    @abstractmethod
    def represent(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b f"]:
        """Return features of texts, by whose angles they are compared; detached."""


class TopicMixture(TextModel):
    """A model whose words come from a mixture of topics, with a bound on the log-probability.

    Attributes:
        shares: [K, V], the words' probabilities in each of K topics.
        prior: of each topic, the parameter of a symmetric Dirichlet distribution.
    """

    shares: Tensor
    prior: float

    @abstractmethod
    def keep(self, shares: Float[Tensor, "k v"]) -> None:
        """Store the words' probabilities."""

    @abstractmethod
    def bound(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b"]:
        """Return a lower bound on log p of each text, its words in a given order, in nats."""


class CountEnergyModel(RealEnergyModel):
    """An energy model whose observed units are counts of words.

    exp(−F(x)) is proportional to the probability of one text with these counts, its words in a
    given order; so texts of different lengths have different partition functions.

    Attributes:
        length: number of words to which all texts are scaled, or their `own`.
    """

    length: int | Literal["own"]

    @abstractmethod
    def word_logits(self, h: Float[Tensor, "b h"]) -> Float[Tensor, "b v"]:
        """Return the log odds, up to a constant, of each word given the hidden units."""

    @abstractmethod
    def hidden_input(
        self, x: Float[Tensor, "b v"], words: Float[Tensor, "b"]
    ) -> Float[Tensor, "b h"]:
        """Return the log odds of the hidden units given counts and their sum."""

    @abstractmethod
    def scaled(self, x: Float[Tensor, "*b v"]) -> Float[Tensor, "*b v"]:
        """Return the counts scaled to `length` words."""
