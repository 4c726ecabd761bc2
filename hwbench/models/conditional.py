"""Conditional variational auto-encoder: generates an image from its caption in one step."""

# Dims: B points, P pixels, Z latents, H hidden units, W words, V words of the vocabulary.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.captions import VOCABULARY, WORDS, side_of
from hwbench.models.draw import gaussian_kl
from hwbench.models.layers import Linear, log_bernoulli
from hwbench.models.sentences import SentenceEncoder
from hwbench.protocols import TextToImageModel, TrainSplit

Count = Annotated[int, Field(ge=1)]


class ConditionalVAE(TextToImageModel):
    """p(x | z, y) = Bern(f(z, s)),  z ~ N(0, I),  q(z | x, y) = N(μ(x, s), σ²(x, s)).

    A conditional VAE (Sohn et al., 2015) whose nets have one layer of tanh units each. s is the
    mean of the states of the caption's words.

    Args:
        visible: units of a point: the pixels of a square image, then a caption.
        hidden: number of hidden units H.
        latent: number of latents Z.
        language: units of each of the two LSTMs over words.

    Raises:
        ValueError: the image is not square.
    """

    def __init__(
        self, visible: int, hidden: Count = 300, latent: Count = 150, language: Count = 128
    ) -> None:
        super().__init__()
        side = side_of(visible)
        self.visible, self.image, self.latent = visible, (side, side), latent
        self.words, self.vocabulary = WORDS, len(VOCABULARY)
        self.sentences = SentenceEncoder(self.vocabulary, language, "words")
        pixels, sentence = side * side, 2 * language
        self.recognition = nn.Sequential(
            Linear(pixels + sentence, hidden), nn.Tanh(), Linear(hidden, 2 * latent)
        )
        self.top = nn.Sequential(Linear(latent + sentence, hidden), nn.Tanh())
        self.pixels = Linear(hidden, pixels)

    @classmethod
    def tiny(cls) -> ConditionalVAE:
        """Return a small model for images of 6 x 6 pixels."""
        return cls(36 + WORDS * len(VOCABULARY), hidden=5, latent=3, language=4)

    def adapt(self, train: TrainSplit) -> None:
        """Initialise the pixel biases at the logits of the pixel means."""
        means, _ = self.parts(train.means()[None])
        with torch.no_grad():
            self.pixels.bias.copy_(means[0].clamp(1e-3, 1 - 1e-3).logit())

    def bound(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x | z, y) − KL(q ‖ p) at one sample z ~ q."""
        image, captions = self.parts(x)
        sentence = self.sentences(captions).mean(1)
        mean, log_variance = self.recognition(torch.cat([image, sentence], 1)).chunk(2, 1)
        log_std = 0.5 * log_variance
        z = torch.addcmul(mean, log_std.exp(), self.noise(len(x)))
        zeros = torch.zeros_like(mean)
        logits = self.pixels(self.top(torch.cat([z, sentence], 1)))
        return log_bernoulli(image, logits) - gaussian_kl(mean, log_std, zeros, zeros)

    def noise(self, n: int) -> Float[Tensor, "n z"]:
        """Return standard normal latents."""
        return torch.randn(n, self.latent, device=self.pixels.bias.device)

    @torch.no_grad()
    def generate(
        self, captions: Float[Tensor, "n w v"], noise: Float[Tensor, "n z"]
    ) -> Float[Tensor, "n p"]:
        """Return f(z, s) with z from the prior."""
        sentence = self.sentences(captions).mean(1)
        out: Tensor = self.pixels(self.top(torch.cat([noise, sentence], 1))).sigmoid()
        return out
