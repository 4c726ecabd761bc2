"""Replicated softmax: a Boltzmann machine over the words of a text."""

# Dims: *B any leading dims, B texts, V words in the vocabulary, H hidden units.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.rbm import ENUMERABLE
from hwbench.protocols import (
    CountEnergyModel,
    TextModel,
    TrainSplit,
    check_counts,
    draw_words,
    log_shares,
)

Length = Annotated[int, Field(ge=1)] | Literal["own"]


class ReplicatedSoftmax(CountEnergyModel, TextModel):
    """p(v, h) ∝ exp(b·v + v W h + M a·h) for the counts v of a text of M words, h binary.

    Salakhutdinov & Hinton (2009). The hidden biases are scaled by the number of words, to balance
    the words' inputs. Given h, the words are independent, with p(word k) ∝ exp(b_k + W_k·h).

    Args:
        hidden: number of hidden units H.
        init: standard deviation of the initial weights.
        length: number of words to which all counts are scaled and with which texts are drawn, as
            in the code of Srivastava (2012), with 100; or `own`, to keep each text's length.
        visible_bias: start b at the log frequencies of words in the training data, or at zero.
    """

    data_means: Tensor
    mean_words: Tensor
    scale_up = 1.0  # factor of the hidden logits; pretraining of a deep machine doubles them

    def __init__(
        self,
        visible: Annotated[int, Field(ge=1)],
        hidden: Annotated[int, Field(ge=1)] = 50,
        init: Annotated[float, Field(ge=0)] = 0.01,
        length: Length = "own",
        visible_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        self.visible, self.length, self.start_at = visible, length, visible_bias
        self.weight = nn.Parameter(init * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("data_means", torch.ones(visible))
        self.register_buffer("mean_words", torch.ones(()))

    @classmethod
    def tiny(cls) -> ReplicatedSoftmax:
        """Return three words, two hidden units and texts of three words."""
        return cls(visible=3, hidden=2, length=3)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Store the mean word counts, and initialise b from the word frequencies.

        Raises:
            ValueError: counts are negative or fractional, or a text to be scaled is empty.
        """
        check_counts(train.values)
        empty = (train.values.sum(1) == 0).nonzero()
        if self.length != "own" and len(empty):
            raise ValueError(
                f"{type(self).__name__}: text {int(empty[0])} has no words, so it cannot be scaled "
                f"to length: {self.length}"
            )
        self.remember(train.means())

    @torch.no_grad()
    def remember(self, means: Float[Tensor, "v"]) -> None:
        """Store mean word counts, and initialise b from the word frequencies."""
        self.data_means.copy_(means)
        self.mean_words.copy_(means.sum())
        if self.start_at == "data":
            self.visible_bias.copy_(log_shares(means))

    def scaled(self, x: Float[Tensor, "*b v"]) -> Float[Tensor, "*b v"]:
        """Return the counts scaled to `length` words; a text without words is unchanged."""
        if self.length == "own":
            return x
        return x * (self.length / x.sum(-1, keepdim=True).clamp_min(1))

    def expected_words(self) -> Tensor:
        """Return the number of words of a text: `length`, or the mean of the training texts."""
        if self.length == "own":
            return self.mean_words
        return torch.full_like(self.mean_words, self.length)

    def hidden_input(
        self, x: Float[Tensor, "b v"], words: Float[Tensor, "b"]
    ) -> Float[Tensor, "b h"]:
        """Return v W + M a."""
        return x @ self.weight + words[:, None] * self.hidden_bias

    def word_logits(self, h: Float[Tensor, "b h"]) -> Float[Tensor, "b v"]:
        """Return b + W h."""
        return F.linear(h, self.weight, self.visible_bias)

    def free_energy(self, x: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
        """Return F(v) = −b·v − Σ_j softplus(s (M a_j + v·W_j)) / s, with s = 1 by default.

        >>> ReplicatedSoftmax(4, hidden=3).free_energy(torch.ones(5, 4)).shape
        torch.Size([5])
        """
        x = self.scaled(x.to(self.weight.dtype))
        inputs = x @ self.weight + x.sum(-1, keepdim=True) * self.hidden_bias
        softplus = F.softplus(self.scale_up * inputs).sum(-1)
        return -(x @ self.visible_bias) - softplus / self.scale_up

    @torch.no_grad()
    def gibbs(self, x: Float[Tensor, "b v"], k: int) -> Float[Tensor, "b v"]:
        """Return the counts after k sweeps h ~ p(h | v), v ~ p(v | h), detached."""
        if k < 0:
            raise ValueError(f"{type(self).__name__}.gibbs: expected k ≥ 0 sweeps, found {k}")
        if not k:
            return x
        x = self.scaled(x)
        words = x.sum(1)
        if self.length == "own":
            most = int(words.max())
        else:
            words, most = words.round(), self.length
        for _ in range(k):
            h = (self.scale_up * self.hidden_input(x, words)).sigmoid_().bernoulli()
            x = draw_words(self.word_logits(h), words, most)
        return x

    @torch.no_grad()
    def represent(self, x: Float[Tensor, "b v"]) -> Float[Tensor, "b f"]:
        """Return p(h_j = 1 | v)."""
        x = self.scaled(x)
        return self.hidden_input(x, x.sum(1)).sigmoid_()

    @torch.no_grad()
    def sample(self, n: int, sweeps: int = 200) -> Float[Tensor, "n d"]:
        """Return expected counts of texts after `sweeps` sweeps.

        Texts have `length` words or, if they have their `own` length, the rounded mean of the
        training texts.
        """
        most = max(1, round(float(self.mean_words))) if self.length == "own" else self.length
        words = self.weight.new_full((n,), most)
        x = draw_words(log_shares(self.data_means).expand(n, -1), words, most)
        x = self.gibbs(x, sweeps)
        h = (self.scale_up * self.hidden_input(x, words)).sigmoid_().bernoulli()
        return self.word_logits(h).softmax(1) * most

    @torch.no_grad()
    def log_partition(self, words: int) -> Float[Tensor, ""]:
        """Return the exact log Z of texts of M words, in float64: v is summed out, h enumerated.

            Z = Σ_h exp(M a·h) (Σ_k exp(b_k + W_k·h))^M

        Raises:
            ValueError: there are more than 25 hidden units.
        """
        weight, b, a = (p.double() for p in (self.weight, self.visible_bias, self.hidden_bias))
        if len(a) > ENUMERABLE:
            raise ValueError(
                f"{type(self).__name__}.log_partition: {len(a)} hidden units are too many to "
                f"enumerate (at most {ENUMERABLE})"
            )
        bits, total = torch.arange(len(a), device=a.device), a.new_tensor(-torch.inf)
        for states in torch.arange(2 ** len(a), device=a.device).split(2**14):
            h = (states[:, None] >> bits & 1).double()
            one = torch.addmm(b, h, weight.t()).logsumexp(1)
            total = torch.logaddexp(total, (words * (h @ a + one)).logsumexp(0))
        return total
