"""Time series of populations.

Dims: *S leading dims (samples, points), K samples, B points, N dreams, T steps, M delays,
S points in training.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import DelayModel, Latents

Positive = Annotated[float, Field(gt=0)]
LOG_2PI = math.log(2 * math.pi)
LEAST = 1e-12  # smaller populations are replaced by this
MOMENTS = 99  # S: the path of the delays has a row for each per cent of training but the last


class BlowflyDynamics(DelayModel):
    """Population with delayed births and with survivors (Wood, 2010; Wenliang et al., 2020).

        τ ~ Cat(m),   e_t ~ Gamma(1/σ_p², 1/σ_p²),   ε_t ~ Gamma(1/σ_d², 1/σ_d²), of mean 1
        z_t = P x_{t−τ} exp(−x_{t−τ} / N₀) e_t + x_{t−1} exp(−δ ε_t),   log x_t ~ N(log z_t, σ_n²)

    The states before the first step are parameters in (0, 1). The slide drops e_t and writes x_t
    for the survivors; these equations are those of the authors' code. The latents are τ, e and ε.

    Args:
        visible: number of steps T.
        delays: the longest delay M.
        births: initial σ_p.
        deaths: initial σ_d.
        noise: initial σ_n.
    """

    observed: Literal["binary", "real"] = "real"

    def __init__(
        self,
        visible: int,
        delays: Annotated[int, Field(ge=1)] = 20,
        births: Positive = 1.0,
        deaths: Positive = 1.0,
        noise: Positive = 0.3,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.logits = nn.Parameter(torch.zeros(delays))
        self.register_buffer("path", torch.zeros(MOMENTS, delays))
        self.start = nn.Parameter(torch.zeros(delays))  # logits of the states before the first step
        self.log_rate = nn.Parameter(torch.zeros(1))  # P
        self.log_capacity = nn.Parameter(torch.zeros(1))  # N₀
        self.log_death = nn.Parameter(torch.zeros(1))  # δ
        self.log_births = nn.Parameter(torch.full((1,), math.log(births)))
        self.log_deaths = nn.Parameter(torch.full((1,), math.log(deaths)))
        self.log_noise = nn.Parameter(torch.full((1,), math.log(noise)))

    @classmethod
    def tiny(cls) -> BlowflyDynamics:
        """Return five steps with three delays and little noise."""
        return cls(visible=5, delays=3, births=0.5, deaths=0.5)

    def delays(self) -> Float[Tensor, "m"]:
        """Return the probability of each delay."""
        return self.logits.detach().softmax(0)

    def log_likelihood(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return Σ_t log p(x_t | x_<t, τ, e_t, ε_t), all steps at once."""
        before = self.start.sigmoid().expand(*x.shape[:-1], -1)
        states = torch.cat([before, x], -1)  # x_t is at index M + t
        first = len(self.logits) + torch.arange(self.visible, device=x.device)
        index = first - h[0].long()  # [*S, T]
        shape = torch.broadcast_shapes(index.shape[:-1], states.shape[:-1])
        delayed = states.expand(*shape, -1).gather(-1, index.expand(*shape, -1))
        log_z = self._log_state(delayed, states[..., first - 1], h[1], h[2])
        log_x = x.clamp_min(LEAST).log()
        standard = (log_x - log_z) * (-self.log_noise).exp()
        return (-0.5 * (standard.square() + LOG_2PI) - self.log_noise - log_x).sum(-1)

    def log_joint(self, x: Float[Tensor, "*b t"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, τ, e, ε)."""
        log_m = self.logits.log_softmax(0)[h[0][..., 0].long() - 1]
        log_e = _log_gamma(h[1], self.log_births) + _log_gamma(h[2], self.log_deaths)
        return self.log_likelihood(x, h) + log_m + log_e

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n t"], Latents]:
        """Return n joint samples: x [n, T], delays [n, 1] ≥ 1, e and ε [n, T]."""
        most, t = len(self.logits), self.visible
        tau = self.delays().multinomial(n, replacement=True) + 1
        e, eps = (_gamma(scale, n, t) for scale in (self.log_births, self.log_deaths))
        noise = self.log_noise.exp() * torch.randn(t, n).to(self.start)
        states = torch.empty(most + t, n).to(self.start)  # [M + T, N], one row per step
        states[:most] = self.start.sigmoid()[:, None]
        places = torch.arange(n, device=states.device)
        for i in range(t):
            at = most + i
            delayed = states[at - tau, places]
            log_z = self._log_state(delayed, states[at - 1], e[:, i], eps[:, i])
            states[at] = (log_z + noise[i]).exp()
        return states[most:].T.contiguous(), [tau[:, None].to(e), e, eps]

    def sample(self, n: int) -> Float[Tensor, "n t"]:
        """Return n simulated series."""
        return self.dream(n)[0]

    def _log_state(self, delayed: Tensor, last: Tensor, e: Tensor, eps: Tensor) -> Tensor:
        """Return log z_t."""
        born = delayed * (self.log_rate - delayed * (-self.log_capacity).exp()).exp() * e
        alive = last * (-self.log_death.exp() * eps).exp()
        return (born + alive).clamp_min(LEAST).log()


def _gamma(log_scale: Tensor, n: int, t: int) -> Float[Tensor, "n t"]:
    """Draw Gamma variables with mean 1 and standard deviation σ, clamped above 0."""
    shape = (-2 * log_scale).exp()
    drawn = torch._standard_gamma(shape.expand(n, t).contiguous()) / shape
    return drawn.clamp_min(torch.finfo(drawn.dtype).tiny)


def _log_gamma(e: Float[Tensor, "*s t"], log_scale: Float[Tensor, "1"]) -> Float[Tensor, "*s"]:
    """Return the log density of Gamma variables with mean 1 and deviation σ, summed over steps."""
    shape = (-2 * log_scale).exp()
    constant = shape * shape.log() - torch.lgamma(shape)
    return ((shape - 1) * e.log() - shape * e + constant).sum(-1)
