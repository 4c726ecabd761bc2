"""Images from Gaussian latents by transposed convolutions, with binary or with real pixels.

Dims: *S leading dims (samples, points), K samples, B points, N dreams, D observed units, Z latents.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.layers import log_bernoulli
from hwbench.protocols import (
    ConditionalDreamer,
    ExponentialDreamer,
    HelmholtzMachine,
    Inferred,
    Latents,
)

Count = Annotated[int, Field(ge=1)]
LOG_2PI = math.log(2 * math.pi)
START = 0.01  # standard deviation of initial weights
PATCH = 4  # height and width of a transposed convolution that doubles the size


class Upsampler(nn.Sequential):
    """The generator of DCGAN (Radford, Metz & Chintala, 2016), without batch normalisation.

    A transposed convolution turns the latents into a small image with `channels[0]` channels.
    Further ones, with ReLUs between them, double its size; the last one has a single channel.

    Raises:
        ValueError: the image's sides cannot be halved once for each of the channels.
    """

    def __init__(self, latent: int, image: tuple[int, int], channels: Sequence[int]) -> None:
        small = [side >> len(channels) for side in image]
        if [side << len(channels) for side in small] != list(image) or 0 in small:
            raise ValueError(
                f"images of {image[0]} x {image[1]} cannot be halved {len(channels)} times, once "
                f"for each of the channels {list(channels)}"
            )
        sizes = [*channels, 1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, sizes[0], (small[0], small[1]))]
        for above, below in pairwise(sizes):
            double = nn.ConvTranspose2d(above, below, PATCH, stride=2, padding=1)
            layers += [nn.ReLU(), double]
        super().__init__(*layers)
        for layer in layers[::2]:
            nn.init.normal_(layer.weight, std=START)  # type: ignore[arg-type]

    def forward(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s d"]:
        """Return the net's output at each pixel."""
        return super().forward(z.reshape(-1, z.shape[-1], 1, 1)).reshape(*z.shape[:-1], -1)


class NoisyUpsampler(Upsampler):
    """`Upsampler` whose outputs are ½ + ½ tanh a, from 0 to 1, with log σ of the noise on them.

    σ starts at ½, which corresponds to 1 for values from −1 to 1, as in the authors' code.
    """

    def __init__(self, latent: int, image: tuple[int, int], channels: Sequence[int]) -> None:
        super().__init__(latent, image, channels)
        self.log_noise = nn.Parameter(torch.full((1,), math.log(0.5)))

    def forward(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s d"]:
        """Return the means of pixels."""
        return 0.5 + 0.5 * super().forward(z).tanh()


class _Convolutional(ConditionalDreamer):
    """Common part of all models: a prior, a generative net, and dreams.

    Args:
        visible: observed units D.
        shape: (height, width) of an image.
        latent: number of latents Z.
        channels: channels of the net's hidden layers, top first; 256, 128 and 64 by default. The
            image's sides are halved once for each.

    Raises:
        ValueError: the image's sides cannot be halved that many times.
    """

    upsampler: type[Upsampler]
    generative: Upsampler

    def __init__(
        self,
        visible: int,
        shape: tuple[int, int],
        latent: Count = 16,
        channels: list[Count] | None = None,
    ) -> None:
        super().__init__()
        self.visible, self.latent = visible, latent
        channels = [256, 128, 64] if channels is None else channels
        self.generative = self.upsampler(latent, shape, channels)

    @abstractmethod
    def means(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s d"]:
        """Return E[x | z]."""

    @abstractmethod
    def draw(self, means: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return x ~ p(x | z), given its means."""

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, z) = log N(z; 0, I) + log p(x | z)."""
        return self.log_likelihood(x, h) + log_prior(h[0])

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and z [n, Z]."""
        z = self._latents(n)
        return self.draw(self.means(z)), [z]

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the mean images of n samples of z."""
        return self.means(self._latents(n))

    def _latents(self, n: int) -> Float[Tensor, "n z"]:
        like = next(self.generative.parameters())
        return torch.randn(n, self.latent, dtype=like.dtype, device=like.device)


class _Binary(_Convolutional):
    """x ~ Bern(σ(f(z)))."""

    upsampler = Upsampler

    def means(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s d"]:
        """Return σ(f(z))."""
        return self.generative(z).sigmoid()  # type: ignore[no-any-return]

    def draw(self, means: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return binary pixels."""
        return (torch.rand_like(means) < means).to(means.dtype)

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | z)."""
        return log_bernoulli(x, self.generative(h[0]))


class _Real(_Convolutional):
    """x ~ N(½ + ½ tanh f(z), σ² I)."""

    observed: Literal["binary", "real"] = "real"
    upsampler = NoisyUpsampler
    generative: NoisyUpsampler

    def means(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s d"]:
        """Return ½ + ½ tanh f(z)."""
        return self.generative(z)  # type: ignore[no-any-return]

    def draw(self, means: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the means plus noise."""
        return torch.addcmul(means, self.generative.log_noise.exp(), torch.randn_like(means))

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | z)."""
        precision = (-2 * self.generative.log_noise).exp()
        return -0.5 * precision * (x - self.means(h[0])).square().sum(-1) - self.log_volume()

    def log_volume(self) -> Float[Tensor, "1"]:
        """Return D (log σ + ½ log 2π)."""
        return self.visible * (self.generative.log_noise + 0.5 * LOG_2PI)


class BinaryImages(_Binary, ExponentialDreamer):
    """z ~ N(0, I), x ~ Bern(σ(f(z))) with DCGAN's generator f (Wenliang et al., 2020)."""

    @classmethod
    def tiny(cls) -> BinaryImages:
        """Return two latents and 2 x 2 pixels."""
        return cls(visible=4, shape=(2, 2), latent=2, channels=[])

    def natural(self, h: Latents) -> Float[Tensor, "n d"]:
        """Return the logits of x."""
        return self.generative(h[0])  # type: ignore[no-any-return]

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_d softplus(a_d) − log N(z; 0, I) at the logits a."""
        return F.softplus(self.generative(h[0])).sum(1) - log_prior(h[0])

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return S(x) = x."""
        return x


class RealImages(_Real, ExponentialDreamer):
    """z ~ N(0, I), x ~ N(½ + ½ tanh f(z), σ² I) with DCGAN's f (Wenliang et al., 2020)."""

    @classmethod
    def tiny(cls) -> RealImages:
        """Return two latents and images of 2 x 2 pixels."""
        return cls(visible=4, shape=(2, 2), latent=2, channels=[])

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(z) = (m/σ², −1/(2σ²)): [N, D + 1]."""
        means, precision = self.means(h[0]), (-2 * self.generative.log_noise).exp()
        return torch.cat([precision * means, (-0.5 * precision).expand(len(means), 1)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return ‖m‖²/(2σ²) + D (log σ + ½ log 2π) − log N(z; 0, I)."""
        precision = (-2 * self.generative.log_noise).exp()
        squares = self.means(h[0]).square().sum(1)
        return 0.5 * precision * squares + self.log_volume() - log_prior(h[0])

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """Return S(x) = (x, ‖x‖²): [B, D + 1]."""
        return torch.cat([x, x.square().sum(1, keepdim=True)], 1)


class _Recognised(_Convolutional, HelmholtzMachine):
    """A recognition net for these models, q(z | x) = N(m(x), diag s²(x)).

    Args:
        visible: observed units D.
        shape: (height, width) of an image.
        latent: number of latents Z.
        channels: channels of the generative net, as in `BinaryImages`.
        hidden: units of the recognition net's fully connected layers, with ReLUs; 500 and 500 by
            default.

    Raises:
        ValueError: the image's sides cannot be halved that many times.
    """

    generative: Upsampler

    def __init__(
        self,
        visible: int,
        shape: tuple[int, int],
        latent: Count = 16,
        channels: list[Count] | None = None,
        hidden: list[Count] | None = None,
    ) -> None:
        super().__init__(visible, shape, latent, channels)
        sizes = [visible, *([500, 500] if hidden is None else hidden)]
        layers: list[nn.Module] = []
        for below, above in pairwise(sizes):
            layers += [nn.Linear(below, above), nn.ReLU()]
        self.recognition = nn.Sequential(*layers, nn.Linear(sizes[-1], 2 * latent))

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples per point with their log q."""
        mean, log_scale = self.recognition(x).chunk(2, dim=-1)
        noise = torch.randn(k, *mean.shape, dtype=mean.dtype, device=mean.device)
        z = torch.addcmul(mean, log_scale.exp(), noise)
        z = z if pathwise else z.detach()
        return Inferred([z], log_normal(z, mean, log_scale))

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(z | x) at given latents."""
        return log_normal(h[0], *self.recognition(x).chunk(2, dim=-1))


class BinaryImagesVAE(_Binary, _Recognised):
    """`BinaryImages` with a recognition net."""

    @classmethod
    def tiny(cls) -> BinaryImagesVAE:
        """Return one latent and 2 x 2 pixels."""
        return cls(visible=4, shape=(2, 2), latent=1, channels=[2], hidden=[4])


class RealImagesVAE(_Real, _Recognised):  # type: ignore[misc]  # its net has noise, too
    """`RealImages` with a recognition net."""

    @classmethod
    def tiny(cls) -> RealImagesVAE:
        """Return one latent and images of 2 x 2 pixels."""
        return cls(visible=4, shape=(2, 2), latent=1, channels=[], hidden=[4])


def log_normal(
    z: Float[Tensor, "*s z"], mean: Float[Tensor, "*t z"], log_scale: Float[Tensor, "*t z"]
) -> Float[Tensor, "*u"]:
    """Return log N(z; m, diag s²)."""
    standard = (z - mean) * (-log_scale).exp()
    return (-0.5 * (standard.square() + LOG_2PI) - log_scale).sum(-1)


def log_prior(z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s"]:
    """Return log N(z; 0, I)."""
    return -0.5 * (z.square() + LOG_2PI).sum(-1)
