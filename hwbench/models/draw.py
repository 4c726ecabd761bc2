"""DRAW: generates images in steps, with attention to a caption (alignDRAW) or without a caption."""

# Dims: B points, P = Y X pixels, T steps, Z latents per step, W words, V words in the vocabulary,
# H units of encoder and decoder, S units of a sentence, N side of a window.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.captions import VOCABULARY, WORDS, side_of
from hwbench.models.layers import Linear, log_bernoulli
from hwbench.models.sentences import Alignment, Reverse, SentenceEncoder
from hwbench.protocols import TextToImageModel

Count = Annotated[int, Field(ge=1)]
Caption = Literal["aligned", "mean", "none"]
DARK = -10.0  # logit of every pixel before the first step


def filter_bank(
    centre: Float[Tensor, "b"],
    stride: Float[Tensor, "b"],
    log_variance: Float[Tensor, "b"],
    window: int,
    size: int,
) -> Float[Tensor, "b n a"]:
    """Return `window` Gaussian filters over `size` pixels in a line (Gregor et al., 2015, eq. 25).

        F_i(a) ∝ exp(−(a − μ_i)² / (2 σ²)),  μ_i = centre + (i − (N − 1)/2) stride,  Σ_a F_i(a) = 1

    Pixel indices start at 0. In the code of Mansimov et al., filter indices start at 0 as well, so
    their centres are one stride too low.
    """
    offsets = torch.arange(window, device=centre.device) - (window - 1) / 2
    means = centre[:, None] + offsets * stride[:, None]
    distance = torch.arange(size, device=centre.device) - means[..., None]
    return (-0.5 * distance.square() * (-log_variance).exp()[:, None, None]).softmax(2)


class Banks(NamedTuple):
    """Vertical filters [B, N, Y], horizontal filters [B, N, X], and the intensity γ [B]."""

    down: Tensor
    across: Tensor
    intensity: Tensor

    def read(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c n n"]:
        """Return γ F_Y x F_Xᵀ of each image."""
        seen = self.down[:, None] @ images @ self.across.mT[:, None]
        return self.intensity[:, None, None, None] * seen

    def write(self, windows: Float[Tensor, "b n n"]) -> Float[Tensor, "b y x"]:
        """Return F_Yᵀ w F_X / γ."""
        return self.down.mT @ windows @ self.across / self.intensity[:, None, None]


class Attention(nn.Module):
    """A grid of N x N filters whose position, stride, width and intensity are computed from h.

    Args:
        units: number of units of h.
        image: (height, width).
        window: N.
    """

    def __init__(self, units: int, image: tuple[int, int], window: int) -> None:
        super().__init__()
        self.image, self.window = image, window
        self.grid = Linear(units, 5)

    def forward(self, h: Float[Tensor, "b h"]) -> Banks:
        """Return the filters; if the linear layer outputs 0, they span the image and σ = γ = 1."""
        x, y, log_stride, log_variance, log_intensity = self.grid(h).unbind(1)
        stride = (max(self.image) - 1) / max(self.window - 1, 1) * log_stride.exp()
        down, across = (
            filter_bank(((size + 1) * (g + 1) / 2) - 1, stride, log_variance, self.window, size)
            for size, g in zip(self.image, (y, x), strict=True)
        )
        return Banks(down, across, log_intensity.exp())


class State(NamedTuple):
    """State after a step: logits [B, P], decoder's h and cell [B, H], prior mean, log σ [B, Z]."""

    canvas: Tensor
    h: Tensor
    cell: Tensor
    mean: Tensor
    log_std: Tensor


class DRAW(TextToImageModel):
    """A chain of T variational auto-encoders that draw on one canvas (Gregor et al., 2015).

        p(z_t | z_<t, y) = N(tanh m_t, exp(tanh l_t)²),  (m_t, l_t) linear in h_{t−1}
        h_t = LSTM(h_{t−1}, [z_t, s_t]),   c_t = c_{t−1} + write(h_t),   p(x | z, y) = Bern(σ(c_T))
        q(z_t | x, y, z_<t) = N(μ(e_t), σ²(e_t))
        e_t = LSTM(e_{t−1}, [read(x, x − σ(c_{t−1})), h_{t−1}])

    With `caption: aligned` this is alignDRAW (Mansimov et al., 2016): s_t is a weighted mean of the
    words' states, with new weights at each step (`Alignment`). With `mean` the weights are equal;
    `none` gives plain DRAW, without a caption. z_1 ~ N(0, I); e_0, h_0 and c_0 are learned.

    Args:
        visible: units of a point: the pixels of a square image, then a caption.
        steps: number of steps T.
        hidden: number of hidden units H.
        latent: number of latents per step Z.
        window: side N of the windows for reading and writing; None for whole images.
        caption: how the caption is used.
        language: units of each of the two LSTMs over words.
        align: units of the alignment.
        reverse: what is reversed for the second of these LSTMs (see `SentenceEncoder`).

    Raises:
        ValueError: the window is larger than the image, or the image is not square.
    """

    def __init__(
        self,
        visible: int,
        steps: Count = 32,
        hidden: Count = 300,
        latent: Count = 150,
        window: Annotated[int, Field(ge=2)] | None = 8,
        caption: Caption = "aligned",
        language: Count = 128,
        align: Count = 512,
        reverse: Reverse = "words",
    ) -> None:
        super().__init__()
        side = side_of(visible)
        if window is not None and window > side:
            raise ValueError(
                f"DRAW: a window of {window} x {window} is larger than the image of {side} x {side}"
            )
        self.visible, self.image = visible, (side, side)
        self.words, self.vocabulary = WORDS, len(VOCABULARY)
        self.steps, self.latent, self.caption = steps, latent, caption
        sentence = 0 if caption == "none" else 2 * language
        seen = 2 * (side if window is None else window) ** 2
        if sentence:
            self.sentences = SentenceEncoder(self.vocabulary, language, reverse)
        if caption == "aligned":
            self.alignment = Alignment(sentence, hidden, align)
        self.read = None if window is None else Attention(hidden, self.image, window)
        self.write = None if window is None else Attention(hidden, self.image, window)
        self.patch = Linear(hidden, seen // 2)
        self.encoder = nn.LSTMCell(seen + hidden, hidden)
        self.decoder = nn.LSTMCell(latent + sentence, hidden)
        self.posterior = Linear(hidden, 2 * latent)
        if steps > 1:
            self.prior = Linear(hidden, 2 * latent)
        self.encoder_start = nn.Parameter(torch.zeros(hidden))
        self.decoder_start = nn.Parameter(torch.zeros(hidden))
        self.canvas = nn.Parameter(torch.full((side * side,), DARK))

    @classmethod
    def tiny(cls) -> DRAW:
        """Return two steps on a canvas of 6 x 6 pixels."""
        visible = 36 + WORDS * len(VOCABULARY)
        return cls(visible, steps=2, hidden=5, latent=3, window=3, language=4, align=3)

    def bound(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x | z, y) − Σ_t KL(q ‖ p) at one sample z ~ q."""
        image, captions = self.parts(x)
        sentence = self._sentence(captions)
        state = self._start(image)
        e, e_cell = (
            self.encoder_start.expand(len(x), -1),
            image.new_zeros(len(x), len(self.encoder_start)),
        )
        divergence = image.new_zeros(len(x))
        for noise in self.noise(len(x)).unbind(1):
            seen = torch.cat([self._read(image, state), state.h], 1)
            e, e_cell = self.encoder(seen, (e, e_cell))
            mean, log_variance = self.posterior(e).chunk(2, 1)
            log_std = 0.5 * log_variance
            divergence = divergence + gaussian_kl(mean, log_std, state.mean, state.log_std)
            state = self._step(state, torch.addcmul(mean, log_std.exp(), noise), sentence)
        return log_bernoulli(image, state.canvas) - divergence

    def noise(self, n: int) -> Float[Tensor, "n t z"]:
        """Return standard normal numbers for each step."""
        return torch.randn(n, self.steps, self.latent, device=self.canvas.device)

    @torch.no_grad()
    def generate(
        self, captions: Float[Tensor, "n w v"], noise: Float[Tensor, "n t z"]
    ) -> Float[Tensor, "n p"]:
        """Return σ(c_T) with latents from the prior."""
        sentence = self._sentence(captions)
        state = self._start(captions)
        for eps in noise.unbind(1):
            z = torch.addcmul(state.mean, state.log_std.exp(), eps)
            state = self._step(state, z, sentence)
        return state.canvas.sigmoid()

    def attention(self, captions: Float[Tensor, "n w v"], h: Float[Tensor, "n h"]) -> Tensor:
        """Return the weights [N, W] of a caption's words at decoder states h; for `aligned`."""
        return self.alignment.weights(self.alignment.keys(self.sentences(captions)), h)

    def _sentence(self, captions: Tensor) -> Callable[[Tensor], Tensor]:
        """Return s_t as a function of h_{t−1}."""
        if self.caption == "none":
            return lambda h: h[:, :0]
        states = self.sentences(captions)
        if self.caption == "mean":
            mean = states.mean(1)
            return lambda h: mean
        keys = self.alignment.keys(states)
        return lambda h: (self.alignment.weights(keys, h)[:, None] @ states)[:, 0]

    def _start(self, like: Tensor) -> State:
        n = len(like)
        h = self.decoder_start.expand(n, -1)
        standard = like.new_zeros(n, self.latent)
        return State(self.canvas.expand(n, -1), h, torch.zeros_like(h), standard, standard)

    def _read(self, image: Tensor, state: State) -> Tensor:
        """Return the encoder's input: windows of the image and of the canvas's error."""
        both = torch.stack([image, image - state.canvas.sigmoid()], 1)
        if self.read is None:
            return both.flatten(1)
        return self.read(state.h).read(both.view(len(image), 2, *self.image)).flatten(1)

    def _step(self, state: State, z: Tensor, sentence: Callable[[Tensor], Tensor]) -> State:
        h, cell = self.decoder(torch.cat([z, sentence(state.h)], 1), (state.h, state.cell))
        patch = self.patch(h)
        if self.write is not None:
            window = patch.view(len(h), self.write.window, self.write.window)
            patch = self.write(h).write(window).flatten(1)
        mean, log_std = state.mean, state.log_std
        if self.steps > 1:
            mean, log_std = self.prior(h).tanh().chunk(2, 1)
        return State(state.canvas + patch, h, cell, mean, log_std)


def gaussian_kl(
    mean: Float[Tensor, "b z"],
    log_std: Float[Tensor, "b z"],
    prior_mean: Float[Tensor, "b z"],
    prior_log_std: Float[Tensor, "b z"],
) -> Float[Tensor, "b"]:
    """Return KL(N(mean, σ²) ‖ N(prior mean, prior σ²)), summed over units, in nats."""
    ratio = log_std - prior_log_std
    shift = (mean - prior_mean) * (-prior_log_std).exp()
    return 0.5 * ((2 * ratio).exp() + shift.square() - 1 - 2 * ratio).sum(1)
