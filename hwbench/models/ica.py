"""Independent components: images as linear mixtures of heavy-tailed sources.

Dims: *S leading dims (samples, points), K sources, B points, N dreams, D observed units.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import ExponentialDreamer, Latents, MixingModel

LOG_2PI = math.log(2 * math.pi)


class LaplaceMixture(ExponentialDreamer, MixingModel):
    """s_k ~ Laplace(0, 1), x ~ N(A s, σ² I) (Wenliang et al., 2020).

    Args:
        visible: observed units D.
        shape: (height, width) of an image.
        sources: number of sources K.
        start: standard deviation of the initial weights.
        noise: initial σ.
    """

    observed: Literal["binary", "real"] = "real"

    def __init__(
        self,
        visible: int,
        shape: tuple[int, int],
        sources: Annotated[int, Field(ge=1)] = 36,
        start: Annotated[float, Field(gt=0)] = 0.1,
        noise: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.visible, self.image = visible, shape
        self.weight = nn.Parameter(start * torch.randn(visible, sources))  # A
        self.log_noise = nn.Parameter(torch.full((1,), math.log(noise)))

    @classmethod
    def tiny(cls) -> LaplaceMixture:
        """Return two sources and three pixels."""
        return cls(visible=3, shape=(1, 3), sources=2)

    def mixing(self) -> Float[Tensor, "d k"]:
        """Return A."""
        return self.weight.detach()

    @torch.no_grad()
    def place(self, mixing: Float[Tensor, "d k"]) -> None:
        """Set A."""
        self.weight.copy_(mixing)

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log N(x; A s, σ² I)."""
        squares = (x - h[0] @ self.weight.T).square().sum(-1)
        constant = self.visible * (self.log_noise + 0.5 * LOG_2PI)
        return -0.5 * squares * (-2 * self.log_noise).exp() - constant

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, s)."""
        return self.log_likelihood(x, h) + _log_laplace(h[0])

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(s) = (A s/σ², −1/(2σ²)): [N, D + 1]."""
        precision = (-2 * self.log_noise).exp()
        means = h[0] @ self.weight.T
        return torch.cat([means * precision, (-0.5 * precision).expand(len(means), 1)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return ‖A s‖²/(2σ²) + D (log σ + ½ log 2π) − log p(s)."""
        squares = (h[0] @ self.weight.T).square().sum(1)
        constant = self.visible * (self.log_noise + 0.5 * LOG_2PI)
        return 0.5 * squares * (-2 * self.log_noise).exp() + constant - _log_laplace(h[0])

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """Return S(x) = (x, ‖x‖²): [B, D + 1]."""
        return torch.cat([x, x.square().sum(1, keepdim=True)], 1)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and s [n, K]."""
        s = self._sources(n)
        means = s @ self.weight.T
        return torch.addcmul(means, self.log_noise.exp(), torch.randn_like(means)), [s]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return A s for n draws of s."""
        return self._sources(n) @ self.weight.T

    def _sources(self, n: int) -> Float[Tensor, "n k"]:
        """Draw sources: the difference of two exponential variables has a Laplace distribution."""
        pair = torch.empty(2, n, self.weight.shape[1]).exponential_().to(self.weight)
        return pair[0] - pair[1]


def _log_laplace(s: Float[Tensor, "*s k"]) -> Float[Tensor, "*s"]:
    return -(s.abs() + math.log(2)).sum(-1)
