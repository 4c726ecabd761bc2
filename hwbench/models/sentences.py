"""Captions as inputs of a generator: states of a bidirectional LSTM, and attention over them."""

# Dims: B captions, W words, V words in the vocabulary, S = 2 L units of a word's states, H units of
# the generator, A units of the alignment.

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hwbench.models.layers import Linear

Reverse = Literal["words", "batch"]


class SentenceEncoder(nn.Module):
    """The states of two LSTMs at each word: one reads the words forwards, the other backwards.

    `reverse: batch` reproduces the code of Mansimov et al., in which `y[::-1]` reverses the order
    of the captions in a batch instead of their words. The second LSTM then reads the caption of
    another image, forwards.

    Args:
        vocabulary: vocabulary size V.
        units: units L of each LSTM.
        reverse: what is reversed for the second LSTM.
    """

    def __init__(self, vocabulary: int, units: int, reverse: Reverse) -> None:
        super().__init__()
        self.reverse = reverse
        self.forwards = nn.LSTM(vocabulary, units, batch_first=True)
        self.backwards = nn.LSTM(vocabulary, units, batch_first=True)
        self.start = nn.Parameter(torch.zeros(units))

    def forward(self, captions: Float[Tensor, "b w v"]) -> Float[Tensor, "b w s"]:
        """Return both states of each word, side by side."""
        start = self.start.expand(1, len(captions), -1).contiguous()
        state = (start, torch.zeros_like(start))
        forwards, _ = self.forwards(captions, state)
        if self.reverse == "batch":
            backwards, _ = self.backwards(captions.flip(0), state)
        else:
            backwards = self.backwards(captions.flip(1), state)[0].flip(1)
        return torch.cat([forwards, backwards], 2)


class Alignment(nn.Module):
    """A sentence as a weighted mean of its words' states s_k; weights depend on the generator.

    α_k ∝ exp(v · tanh(U s_k + W h + b))   (Bahdanau et al., 2015; Mansimov et al., 2016, eq. 5)
    """

    def __init__(self, states: int, generator: int, units: int) -> None:
        super().__init__()
        self.keys = Linear(states, units, bias=False)
        self.query = Linear(generator, units)
        self.score = Linear(units, 1, bias=False)

    def weights(
        self, keys: Float[Tensor, "b w a"], h: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b w"]:
        """Return α for keys U s and states h of the generator."""
        return self.score(torch.tanh(keys + self.query(h)[:, None]))[..., 0].softmax(1)
