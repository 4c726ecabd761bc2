"""Models of sequences of binary frames: a Helmholtz machine on an LSTM, and the LSTM alone."""

# Dims: *S leading dims (samples, points), K samples, B sequences, T frames, D = T F observed units,
# F units of a frame, C units of the LSTM, Z latent units.

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.layers import Linear
from hwbench.models.smooth import LOG_2PI, GaussianLayer
from hwbench.products import full_precision
from hwbench.protocols import (
    Density,
    Gaussian,
    HelmholtzMachine,
    Inferred,
    Latents,
    SequenceModel,
    TrainSplit,
)

Count = Annotated[int, Field(ge=1)]
Start = Annotated[float, Field(ge=-10, le=4)]


class History(nn.Module):
    """z_t = LSTM(x_1, …, x_{t−1}), so z_t does not depend on x_t, and z_1 on no frame."""

    def __init__(self, frame: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.lstm = nn.LSTM(frame, units, batch_first=True)

    def forward(self, x: Float[Tensor, "*s t f"]) -> Float[Tensor, "*s t c"]:
        """Return z_t for every frame."""
        flat = x.reshape(-1, *x.shape[-2:])
        before = torch.cat([torch.zeros_like(flat[:, :1]), flat[:, :-1]], 1)
        with full_precision(x.device):  # Not every CPU has LSTMs in bfloat16.
            z, _ = self.lstm(before)
        return z.view(*x.shape[:-1], self.units)

    def step(
        self, frame: Float[Tensor, "n f"], state: tuple[Tensor, Tensor] | None
    ) -> tuple[Float[Tensor, "n c"], tuple[Tensor, Tensor]]:
        """Return z of the frame after this one, and the LSTM's state."""
        with full_precision(frame.device):
            z, state = self.lstm(frame[:, None], state)
        return z[:, 0], state


def frames_of(visible: int, shape: tuple[int, ...]) -> int:
    """Return the number of frames of a point, the first entry of its shape.

    Raises:
        ValueError: the shape does not consist of `visible` units in at least two frames.
    """
    if len(shape) < 2 or math.prod(shape) != visible or shape[0] < 2:
        raise ValueError(
            f"a sequence has a shape (frames, height, width) with two frames or more, {visible} "
            f"units in all; found {tuple(shape)}"
        )
    return shape[0]


def bernoulli_log_prob(
    x: Float[Tensor, "*s t f"], logits: Float[Tensor, "*u t f"]
) -> Float[Tensor, "*v t"]:
    """Return Σ_f log Bern(x_f; σ(logits_f)) of every frame."""
    return (x * logits - F.softplus(logits)).sum(-1)


class LSTMBernoulli(Density, SequenceModel):
    """p(x) = Π_t Π_f Bern(x_tf; σ(W z_t + B)_f),  z_t = LSTM(x_<t): exact, without latents.

    Args:
        visible: observed units D of a whole sequence.
        shape: (frames, height, width).
        recurrent: units of the LSTM.
    """

    def __init__(self, visible: int, shape: tuple[int, ...], recurrent: Count = 200) -> None:
        super().__init__()
        self.visible, self.frames = visible, frames_of(visible, shape)
        frame = visible // self.frames
        self.history = History(frame, recurrent)
        self.logits = Linear(recurrent, frame)

    @classmethod
    def tiny(cls) -> LSTMBernoulli:
        """Return two frames of two pixels."""
        return cls(visible=4, shape=(2, 2, 1), recurrent=3)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Start the output biases at the logit of the pixel means over all frames."""
        self.logits.bias.copy_(_frame_means(train, self.frames).logit())

    def frame_log_weights(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "1 b t"]:
        """Return log p(x_t | x_<t)."""
        x = x.unflatten(-1, (self.frames, -1))
        return bernoulli_log_prob(x, self.logits(self.history(x)))[None]

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Return log p(x) of each sequence, in nats."""
        return self.frame_log_weights(x, 1)[0].sum(-1)

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the pixel means along n sampled sequences."""
        frame, state = self.logits.weight.new_zeros(n, self.visible // self.frames), None
        means: list[Tensor] = []
        for _ in range(self.frames):
            z, state = self.history.step(frame, state)
            means.append(self.logits(z).sigmoid())
            frame = means[-1].bernoulli()
        return torch.cat(means, 1)


class TemporalHelmholtzMachine(HelmholtzMachine, SequenceModel):
    """A smooth Helmholtz machine for each frame, conditioned on an LSTM (Rezende, 2012, alg. 2).

        p(x, h) = Π_t p(x_t, h_t | z_t),   q(h | x) = Π_t q(h_t | x_t, z_t),   z_t = LSTM(x_<t)

    Every layer of p and q has z_t as an additional input, which acts as a bias. It is the only
    input of the top layer of p, N(tanh(U z_t), Σ). Without LSTM (`recurrent: 0`) frames are
    independent and the top is N(0, I). Gradients of the free energy reach the LSTM through both p
    and q. Back-propagation through time sums them over frames, as in the algorithm's second loop.

    Latents of a layer contain all frames, one after the other: [K, B, T Z].

    Args:
        visible: observed units D of a whole sequence.
        shape: (frames, height, width).
        layers: latent units of a frame, the layer next to the data first.
        recurrent: units of the LSTM; 0 for no LSTM.
        covariance_network: whether the covariances of q depend on its inputs.
        log_var: initial log variance of all units.
    """

    generative: nn.ModuleList
    recognition: nn.ModuleList

    def __init__(
        self,
        visible: int,
        shape: tuple[int, ...],
        layers: Annotated[list[Count], Field(min_length=1)],
        recurrent: Annotated[int, Field(ge=0)] = 200,
        covariance_network: bool = True,
        log_var: Start = -2.0,
    ) -> None:
        super().__init__()
        if not layers or min(layers) < 1 or recurrent < 0:
            raise ValueError(
                "TemporalHelmholtzMachine: layers must list one or more sizes ≥ 1, and recurrent "
                f"be ≥ 0; found {layers=}, {recurrent=}"
            )
        self.visible, self.frames = visible, frames_of(visible, shape)
        self.layers_per_frame = list(layers)
        frame = visible // self.frames
        self.history = History(frame, recurrent) if recurrent else None
        pixels = Linear(layers[0] + recurrent, frame)
        inner = [GaussianLayer(a + recurrent, b, log_var) for b, a in pairwise(layers)]
        top = [GaussianLayer(recurrent, layers[-1], log_var)] if recurrent else []
        self.generative = nn.ModuleList([pixels, *inner, *top])
        self.recognition = nn.ModuleList(
            GaussianLayer(below + recurrent, above, log_var, covariance_network)
            for below, above in pairwise([frame, *layers])
        )

    @classmethod
    def tiny(cls) -> TemporalHelmholtzMachine:
        """Return two frames of two pixels, with two and one latent units and wide p and q."""
        return cls(visible=4, shape=(2, 2, 1), layers=[2, 1], recurrent=3, log_var=1.0)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Start the output biases at the logit of the pixel means over all frames."""
        bias = cast(nn.Linear, self.generative[0]).bias
        bias.copy_(_frame_means(train, self.frames).logit())

    def _frames(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return x as [*S, T, F], and z [*S, T, C]."""
        x = x.unflatten(-1, (self.frames, -1))
        return x, None if self.history is None else self.history(x)

    def _prior(self, h: Latents, z: Tensor | None) -> Float[Tensor, "*s t"]:
        """Return log p(h_t | z_t) of each frame; latents are [*S, T, Z]."""
        if z is None:
            log_p = -0.5 * (h[-1].square() + LOG_2PI).sum(-1)
        else:
            log_p = self.generative[-1](z).log_prob(h[-1])
        for net, (below, above) in zip(self.generative[1:], pairwise(h), strict=False):
            log_p = log_p + net(_join(above, z)).log_prob(below)
        return log_p

    def _log_p(self, x: Tensor, h: Latents, z: Tensor | None) -> Float[Tensor, "*s t"]:
        """Return log p(x_t, h_t | z_t) of each frame."""
        return self._prior(h, z) + bernoulli_log_prob(x, self.generative[0](_join(h[0], z)))

    def _infer(
        self, x: Tensor, z: Tensor | None, k: int, pathwise: bool
    ) -> tuple[Latents, Float[Tensor, "k b t"]]:
        """Return h_t ~ q(h_t | x_t, z_t), each [K, B, T, Z], and their log q, by frame."""
        h: Latents = []
        log_q, below = x.new_zeros(()), x
        for net in self.recognition:
            q: Gaussian = net(_join(below, z))
            noise = x.new_empty(k, *x.shape[:-1], q.mean.shape[-1]).normal_()
            drawn = q.mean + q.root(noise)
            below = drawn if pathwise else drawn.detach()
            h.append(below)
            log_q = log_q + q.log_prob(below)
        return h, log_q

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples h ~ q(h | x) per sequence with their log q."""
        h, log_q = self._infer(*self._frames(x), k, pathwise)
        return Inferred([h_l.flatten(-2) for h_l in h], log_q.sum(-1))

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) at given latents."""
        x, z = self._frames(x)
        h = self._split(h)
        terms = [
            net(_join(below, z)).log_prob(above)
            for net, (below, above) in zip(self.recognition, pairwise([x, *h]), strict=True)
        ]
        return torch.stack(terms).sum((0, -1))

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h)."""
        x, z = self._frames(x)
        return self._log_p(x, self._split(h), z).sum(-1)

    def frame_log_weights(self, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "k b t"]:
        """Return log p(x_t, h_t | z_t) − log q(h_t | x_t, z_t) of k samples for each frame."""
        x, z = self._frames(x)
        h, log_q = self._infer(x, z, k, pathwise=False)
        return self._log_p(x, h, z) - log_q

    def _split(self, h: Latents) -> Latents:
        return [h_l.unflatten(-1, (self.frames, -1)) for h_l in h]

    def _descend(self, n: int) -> tuple[list[Tensor], list[Tensor], list[Latents]]:
        """Return frames, their means and their latents along n ancestral samples."""
        weight = cast(nn.Linear, self.generative[0]).weight
        frame, state = weight.new_zeros(n, self.visible // self.frames), None
        x, means, latents = [], [], []
        for _ in range(self.frames):
            z = None
            if self.history is None:
                h = [weight.new_empty(n, self.layers_per_frame[-1]).normal_()]
            else:
                z, state = self.history.step(frame, state)
                h = [_draw(self.generative[-1](z))]
            for net in reversed(
                cast(list[nn.Module], list(self.generative[1 : len(self.recognition)]))
            ):
                h.insert(0, _draw(net(_join(h[0], z))))
            means.append(self.generative[0](_join(h[0], z)).sigmoid())
            frame = means[-1].bernoulli()
            x.append(frame)
            latents.append(h)
        return x, means, latents

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and latents, each [n, T Z]."""
        x, _, latents = self._descend(n)
        return torch.cat(x, 1), [torch.cat(h_l, 1) for h_l in zip(*latents, strict=True)]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the pixel means along n ancestral samples."""
        return torch.cat(self._descend(n)[1], 1)


def _join(a: Tensor, z: Tensor | None) -> Tensor:
    return a if z is None else torch.cat([a, z.expand(*a.shape[:-1], -1)], -1)


def _draw(p: Gaussian) -> Tensor:
    return p.mean + p.root(torch.randn_like(p.mean))


def _frame_means(train: TrainSplit, frames: int) -> Tensor:
    return train.means().view(frames, -1).mean(0).clamp(1e-3, 1 - 1e-3)
