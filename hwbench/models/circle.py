"""Images with an angle as their only latent: a convolutional net on the unit circle.

Dims: *S leading dims (samples, points), K samples, B points, N dreams, D observed units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import (
    AngularModel,
    ExactDreamer,
    ExponentialDreamer,
    HelmholtzMachine,
    Inferred,
    Latents,
)

Count = Annotated[int, Field(ge=1)]
LOG_2PI = math.log(2 * math.pi)
START = 0.01  # standard deviation of initial weights
PATCH = 4  # height and width of a transposed convolution that doubles the size


class ImageNet(nn.Module):
    """Mean and noise of an image at an angle: x ~ N(f(sin a, cos a), σ² I).

    f has a transposed convolution to a small image of `channels[0]` channels, others that double
    its size, with ReLUs between them, and tanh at the end.

    Raises:
        ValueError: the image's sides cannot be halved once for each of the channels.
    """

    def __init__(self, image: tuple[int, int], channels: Sequence[int]) -> None:
        super().__init__()
        factor = 2 ** len(channels)
        if image[0] % factor or image[1] % factor:
            raise ValueError(
                f"images of {image[0]} x {image[1]} cannot be halved {len(channels)} times, once "
                f"for each of the channels {list(channels)}"
            )
        self.image = image
        sizes = [*channels, 1]
        start = (image[0] // factor, image[1] // factor)
        self.layers = nn.ModuleList([nn.ConvTranspose2d(2, sizes[0], start)])
        self.layers.extend(
            nn.ConvTranspose2d(above, below, PATCH, stride=2, padding=1)
            for above, below in pairwise(sizes)
        )
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=START)  # type: ignore[arg-type]
        self.log_noise = nn.Parameter(torch.zeros(1))

    def forward(self, angle: Float[Tensor, "*s"]) -> Float[Tensor, "*s d"]:
        """Return the mean image at each angle."""
        a = torch.stack([angle.sin(), angle.cos()], -1).view(-1, 2, 1, 1)
        for i, layer in enumerate(self.layers):
            a = layer(a.relu() if i else a)
        return a.tanh().view(*angle.shape, -1)


class _Angular(AngularModel):
    """What both models share: the generative net, densities, dreams, quadrature."""

    observed: Literal["binary", "real"] = "real"
    generative: ImageNet

    def filters(self, angle: Float[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Return the mean image at each angle, in radians."""
        return self.generative(angle)  # type: ignore[no-any-return]

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log N(x; f(a), σ² I)."""
        squares = (x - self.generative(h[0][..., 0])).square().sum(-1)
        return self._log_noise(squares)

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, a) = log p(x | a) − log 2π."""
        return self.log_likelihood(x, h) - LOG_2PI

    def log_marginal(self, x: Float[Tensor, "b d"], nodes: int) -> Float[Tensor, "b"]:
        """Return log p(x) = log (1/n) Σ_i p(x | 2πi/n), in float64, with gradients to θ.

        The error is small once the posterior is wider than the distance of two nodes, and then
        falls with the square of that distance, since the net has kinks.
        """
        angle = torch.arange(nodes, device=x.device).to(self.generative.log_noise)
        means, wide = self.filters(2 * math.pi / nodes * angle).double(), x.double()
        squares = wide.square().sum(1)[:, None] - 2 * wide @ means.T + means.square().sum(1)
        return self._log_noise(squares).logsumexp(1) - math.log(nodes)

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and angles [n, 1]."""
        angle = self._angles(n)
        means = self.filters(angle)
        return torch.addcmul(means, self.generative.log_noise.exp(), torch.randn_like(means)), [
            angle[:, None]
        ]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the mean images of n random angles."""
        return self.filters(self._angles(n))

    def _angles(self, n: int) -> Float[Tensor, "n"]:
        noise = self.generative.log_noise
        return math.pi * (2 * torch.rand(n, dtype=noise.dtype, device=noise.device) - 1)

    def _log_noise(self, squares: Tensor) -> Tensor:
        """Return the log density of a Gaussian error by its square over all units."""
        log_noise = self.generative.log_noise.to(squares)
        scaled = squares * (-2 * log_noise).exp()
        return -0.5 * scaled - self.visible * (log_noise + 0.5 * LOG_2PI)


class Circle(_Angular, ExponentialDreamer, ExactDreamer):
    """a ~ U(−π, π), x ~ N(f(sin a, cos a), σ² I) with a convolutional f (Wenliang et al., 2020).

    Args:
        visible: observed units D.
        shape: (height, width) of an image.
        channels: channels of the hidden layers, top first; the image's sides are halved once
            for each.
        nodes: angles of the quadrature in `log_prob`.

    Raises:
        ValueError: the image's sides cannot be halved that many times.

    >>> model = Circle(visible=64, shape=(8, 8), channels=[3])
    >>> model.filters(torch.zeros(5)).shape, model.log_prob(torch.zeros(5, 64)).shape
    (torch.Size([5, 64]), torch.Size([5]))
    """

    def __init__(
        self,
        visible: int,
        shape: tuple[int, int],
        channels: list[Count] | None = None,
        nodes: Annotated[int, Field(ge=2)] = 512,
    ) -> None:
        super().__init__()
        self.visible, self.image, self.nodes = visible, shape, nodes
        self.generative = ImageNet(shape, [256, 128] if channels is None else channels)

    @classmethod
    def tiny(cls) -> Circle:
        """Return images of two pixels."""
        return cls(visible=2, shape=(1, 2), channels=[], nodes=16)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) by quadrature, with gradients to θ."""
        return self.log_marginal(x, self.nodes).to(x)

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(a) = (f/σ², −1/(2σ²)): [N, D + 1]."""
        precision = (-2 * self.generative.log_noise).exp()
        means = self.generative(h[0][..., 0])
        return torch.cat([means * precision, (-0.5 * precision).expand(len(means), 1)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return ‖f‖²/(2σ²) + D (log σ + ½ log 2π) + log 2π."""
        log_noise = self.generative.log_noise
        squares = self.generative(h[0][..., 0]).square().sum(1)
        constant = self.visible * (log_noise + 0.5 * LOG_2PI) + LOG_2PI
        return 0.5 * squares * (-2 * log_noise).exp() + constant

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """Return S(x) = (x, ‖x‖²): [B, D + 1]."""
        return torch.cat([x, x.square().sum(1, keepdim=True)], 1)


class CircleVAE(_Angular, HelmholtzMachine):
    """`Circle` with a recognition net, for rules that need q(a | x).

    q is a projected normal: the direction of g ~ N(m(x), I₂), which has pathwise gradients and a
    closed density, and is the narrower the longer m is. m is a net of fully connected layers with
    ReLUs.

    Args:
        visible: observed units D.
        shape: (height, width) of an image.
        channels: as in `Circle`.
        hidden: units of the recognition net's hidden layers.

    Raises:
        ValueError: the image's sides cannot be halved that many times.
    """

    generative: ImageNet

    def __init__(
        self,
        visible: int,
        shape: tuple[int, int],
        channels: list[Count] | None = None,
        hidden: list[Count] | None = None,
    ) -> None:
        super().__init__()
        self.visible, self.image = visible, shape
        self.generative = ImageNet(shape, [256, 128] if channels is None else channels)
        sizes = [visible, *([200, 200] if hidden is None else hidden)]
        layers: list[nn.Module] = []
        for below, above in pairwise(sizes):
            layers += [nn.Linear(below, above), nn.ReLU()]
        self.recognition = nn.Sequential(*layers, nn.Linear(sizes[-1], 2))

    @classmethod
    def tiny(cls) -> CircleVAE:
        """Return images of 2 x 2 pixels."""
        return cls(visible=4, shape=(2, 2), channels=[2], hidden=[4])

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k angles per point with their log q."""
        mean = self.recognition(x)
        g = mean + torch.randn(k, *mean.shape, dtype=mean.dtype, device=mean.device)
        angle = torch.atan2(g[..., 0], g[..., 1])
        angle = angle if pathwise else angle.detach()
        return Inferred([angle[..., None]], projected_normal(angle, mean))

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(a | x) at given angles."""
        return projected_normal(h[0][..., 0], self.recognition(x))


def projected_normal(
    angle: Float[Tensor, "*s"], mean: Float[Tensor, "*t 2"]
) -> Float[Tensor, "*u"]:
    """Return the log density of the angle a of g ~ N(m, I₂), where (sin a, cos a) ∝ g.

    With the length t = m·(sin a, cos a) of m along the direction (Mardia & Jupp, 2000),

        p(a) = (1/2π) exp(−‖m‖²/2) (1 + t Φ(t)/φ(t)).

    >>> round(projected_normal(torch.zeros(1), torch.zeros(1, 2)).exp().item() * 2 * torch.pi, 4)
    1.0
    """
    wide = mean.double()
    t = wide[..., 0] * angle.sin() + wide[..., 1] * angle.cos()
    ahead, behind = t.clamp_min(0), (-t).clamp_min(0)
    gauss = (-0.5 * ahead.square()).exp()
    ratio = torch.special.ndtr(ahead) * math.sqrt(2 * math.pi)
    log_ahead = 0.5 * ahead.square() + (gauss + ahead * ratio).log()
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(behind / math.sqrt(2))
    log_behind = (1 - behind * mills).clamp_min(1e-300).log()
    out = log_ahead + log_behind - 0.5 * wide.square().sum(-1) - LOG_2PI
    return out.to(mean)
