"""Softplus of two Gaussians with noise: a posterior in two dimensions that no Gaussian fits."""

# Dims: *S leading dims (samples, points), K samples, B points, N dreams.

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.protocols import ExactDreamer, ExponentialDreamer, GaussianDreamer, Latents

LOG_2PI = math.log(2 * math.pi)
NODES = 40_001  # of the trapezoidal rule
LIMIT = 12.0  # standard deviations of b·z; beyond, a Gaussian has no mass in float64
ROWS = 20  # points per pass of the quadrature


class SoftplusGaussian(ExponentialDreamer, GaussianDreamer, ExactDreamer):
    """z ~ N(0, I₂), x ~ N(softplus(b·z) − ‖b‖², σ²), with a single unit x (Wenliang et al., 2020).

    Only b is learned. b·z ~ N(0, r²) with r = ‖b‖, so p(x) is an integral over one dimension:

        p(x) = ∫ N(s; 0, 1) N(x; softplus(r s) − r², σ²) ds

    Args:
        visible: 1.
        slope: b.
        noise: σ.

    Raises:
        ValueError: there is more than one observed unit, or b is zero.

    >>> model = SoftplusGaussian(visible=1, slope=(1.0, 1.0), noise=0.5)
    >>> round(model.log_prob(torch.zeros(1, 1)).item(), 5)
    -1.83673
    """

    latent = 2
    observed = "real"

    def __init__(
        self,
        visible: int,
        slope: tuple[float, float] = (1.0, 1.0),
        noise: Annotated[float, Field(gt=0)] = 0.5,
    ) -> None:
        super().__init__()
        if visible != 1:
            raise ValueError(f"SoftplusGaussian: points must have 1 unit (found {visible})")
        if not any(slope):
            raise ValueError("SoftplusGaussian: slope is zero, so x does not depend on z")
        self.visible, self.noise = visible, noise
        self.slope = nn.Parameter(torch.tensor(slope))

    @classmethod
    def tiny(cls) -> SoftplusGaussian:
        """Return the model at b = (1, 1/2) and σ = 1/2."""
        return cls(visible=1, slope=(1.0, 0.5), noise=0.5)

    def mean(self, z: Float[Tensor, "*s 2"]) -> Float[Tensor, "*s"]:
        """Return the mean of x given z."""
        return F.softplus(z @ self.slope) - self.slope.square().sum()

    def log_likelihood(self, x: Float[Tensor, "*b 1"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log N(x; softplus(b·z) − ‖b‖², σ²)."""
        return self._log_noise(x[..., 0] - self.mean(h[0]))

    def log_joint(self, x: Float[Tensor, "*b 1"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, z) = log N(z; 0, I) + log p(x | z)."""
        return self.log_likelihood(x, h) + _log_standard(h[0]).sum(-1)

    def natural(self, h: Latents) -> Float[Tensor, "n 2"]:
        """Return η(z) = (μ/σ², −1/(2σ²))."""
        mean = self.mean(h[0]) / self.noise**2
        return torch.stack([mean, torch.full_like(mean, -0.5 / self.noise**2)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return μ²/(2σ²) + log σ + ½ log 2π − log p(z)."""
        constant = math.log(self.noise) + 0.5 * LOG_2PI
        squares = self.mean(h[0]).square() / (2 * self.noise**2)
        return squares + constant - _log_standard(h[0]).sum(-1)

    def statistics(self, x: Float[Tensor, "b 1"]) -> Float[Tensor, "b 2"]:
        """Return S(x) = (x, x²)."""
        return torch.cat([x, x.square()], 1)

    def log_prob(self, x: Float[Tensor, "b 1"]) -> Float[Tensor, "b"]:
        """Return log p(x) by the trapezoidal rule in float64, with gradients to b.

        A Gauss-Hermite rule would be inaccurate for σ ≤ 0.1.
        """
        s = torch.linspace(-LIMIT, LIMIT, NODES, dtype=torch.float64, device=x.device)
        r = self.slope.double().norm()
        mean = F.softplus(r * s) - r.square()
        log_weight = _log_standard(s) + math.log(2 * LIMIT / (NODES - 1))
        parts = [self._log_noise(part.double() - mean) + log_weight for part in x.split(ROWS)]
        return torch.cat([part.logsumexp(1) for part in parts]).to(x)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n 1"], Latents]:
        """Return n joint samples, x [n, 1] and z [n, 2]."""
        z = torch.randn(n, 2, dtype=self.slope.dtype, device=self.slope.device)
        mean = self.mean(z)
        return (mean + self.noise * torch.randn_like(mean))[:, None], [z]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n 1"]:
        """Return the means of x of n samples of z."""
        z = torch.randn(n, 2, dtype=self.slope.dtype, device=self.slope.device)
        return self.mean(z)[:, None]

    def _log_noise(self, difference: Tensor) -> Tensor:
        return _log_standard(difference / self.noise) - math.log(self.noise)


def _log_standard(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + LOG_2PI)
