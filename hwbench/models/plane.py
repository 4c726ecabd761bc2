"""Points in the plane: a mixture of Gaussians, alone or as the prior of a small generative net.

Dims: *S leading dims (samples, points), K samples, B points, N draws, C components,
D observed units.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import (
    ExactDreamer,
    ExponentialDreamer,
    GaussianComponents,
    HelmholtzMachine,
    Inferred,
    Latents,
    PlanarMixture,
    PriorModel,
)

Count = Annotated[int, Field(ge=1)]
LOG_2PI = math.log(2 * math.pi)
PLANE = 2  # latents below the component
LIMIT = 6.0  # standard deviations of a component that the quadrature covers
MEAN, ROOT, WEIGHT, LOG_NOISE = 0.5, 0.3, 0.3, -1.0  # scales of initial parameters
SPREAD, POWER, RATE = 3.0, 2.5, 0.01  # of the priors over means and covariances


class Gaussians(nn.Module):
    """Σ_c π_c N(z; μ_c, L_c L_cᵀ); L_c is lower triangular with a diagonal of exponentials."""

    def __init__(self, components: int, size: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(components))  # log π + constant
        self.means = nn.Parameter(MEAN * torch.randn(components, size))
        self.log_scale = nn.Parameter(torch.full((components, size), math.log(ROOT)))
        self.below = nn.Parameter(torch.zeros(components, size, size))

    def roots(self) -> Float[Tensor, "c z z"]:
        """Return L_c."""
        return self.below.tril(-1) + torch.diag_embed(self.log_scale.exp())

    def log_joint(self, z: Float[Tensor, "*s z"]) -> Float[Tensor, "*s c"]:
        """Return log π_c + log N(z; μ_c, L_c L_cᵀ)."""
        difference = (z[..., None, :] - self.means)[..., None]
        standard = torch.linalg.solve_triangular(self.roots(), difference, upper=False)[..., 0]
        log_n = -0.5 * (standard.square() + LOG_2PI).sum(-1) - self.log_scale.sum(-1)
        return log_n + self.weights.log_softmax(0)

    @torch.no_grad()
    def draw(self, n: int) -> tuple[Float[Tensor, "n z"], Integer[Tensor, "n"]]:
        """Return n draws of z with their components."""
        clocks = torch.empty(n, len(self.weights)).exponential_().to(self.weights)
        c = (self.weights.softmax(0) / clocks).argmax(1)  # c ~ π; NaN raises no error here
        noise = torch.randn(n, self.means.shape[1]).to(self.means)
        return self.means[c] + (self.roots()[c] @ noise[..., None])[..., 0], c


class GaussianMixture(GaussianComponents, ExactDreamer):
    """p(x) = Σ_c π_c N(x; μ_c, Σ_c).

    Args:
        visible: observed units D.
        components: number of components C.
    """

    observed: Literal["binary", "real"] = "real"

    def __init__(self, visible: Count, components: Count = 10) -> None:
        super().__init__()
        self.visible = visible
        self.mixture = Gaussians(components, visible)

    @classmethod
    def tiny(cls) -> GaussianMixture:
        """Return two components in the plane."""
        return cls(visible=2, components=2)

    def components(self) -> int:
        """Return C."""
        return len(self.mixture.weights)

    @torch.no_grad()
    def place(
        self,
        weights: Float[Tensor, "c"],
        means: Float[Tensor, "c d"],
        covariances: Float[Tensor, "c d d"],
    ) -> None:
        """Set mixing proportions, means and covariances."""
        roots = torch.linalg.cholesky(covariances)
        self.mixture.weights.copy_(weights.log())
        self.mixture.means.copy_(means)
        self.mixture.log_scale.copy_(roots.diagonal(dim1=1, dim2=2).log())
        self.mixture.below.copy_(roots.tril(-1))

    def log_components(self, x: Float[Tensor, "b d"], nodes: int) -> Float[Tensor, "b c"]:
        """Return log p(x, c), exactly."""
        return self.mixture.log_joint(x).double()

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x)."""
        return self.mixture.log_joint(x).logsumexp(1)

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, c), where h is the component index c."""
        return _at(self.mixture.log_joint(x), h[0])

    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and c [n, 1]."""
        x, c = self.draw(n)
        return x, [c[:, None].to(x)]

    def draw(self, n: int) -> tuple[Float[Tensor, "n d"], Integer[Tensor, "n"]]:
        """Return n draws of x with their components."""
        return self.mixture.draw(n)

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means μ_c of n components c ~ π."""
        return self.mixture.means[self.draw(n)[1]]


class Bent(nn.Module):
    """z ~ Σ_c π_c N(μ_c, L_c L_cᵀ) in the plane, x ~ N(f(z), diag σ²) with a small net f."""

    def __init__(self, visible: int, components: int, hidden: int) -> None:
        super().__init__()
        self.prior = Gaussians(components, PLANE)
        self.mean = nn.Sequential(nn.Linear(PLANE, hidden), nn.ReLU(), nn.Linear(hidden, visible))
        for layer in (self.mean[0], self.mean[2]):
            nn.init.normal_(layer.weight, std=WEIGHT)  # type: ignore[arg-type]
        self.log_noise = nn.Parameter(torch.full((visible,), LOG_NOISE))


class _Bent(PlanarMixture, PriorModel):
    """Common part of both models: the net, its prior, densities, draws and quadrature."""

    observed: Literal["binary", "real"] = "real"
    generative: Bent

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log N(x; f(z), diag σ²)."""
        log_noise = self.generative.log_noise
        standard = (x - self.generative.mean(h[0])) * (-log_noise).exp()
        return (-0.5 * (standard.square() + LOG_2PI) - log_noise).sum(-1)

    def log_components(self, x: Float[Tensor, "b d"], nodes: int) -> Float[Tensor, "b c"]:
        """Return log p(x, c) by the trapezoidal rule with nodes² points for each component.

        The points cover six standard deviations of the component in all directions.
        """
        prior, log_noise = self.generative.prior, self.generative.log_noise
        axis = torch.linspace(-LIMIT, LIMIT, nodes).to(log_noise)
        grid = torch.cartesian_prod(axis, axis)
        log_weight = (-0.5 * grid.double().square().sum(1)).log_softmax(0)
        scale = (-log_noise).exp()
        standard = (x * scale).double()
        constant = -(log_noise + 0.5 * LOG_2PI).sum()
        log_pi = prior.weights.log_softmax(0)
        found = []
        for mean, root, log_p in zip(prior.means, prior.roots(), log_pi, strict=True):
            f = (self.generative.mean(mean + grid @ root.T) * scale).double()
            squares = standard.square().sum(1)[:, None] + f.square().sum(1) - 2 * standard @ f.T
            found.append((log_weight - 0.5 * squares).logsumexp(1) + log_p + constant)
        return torch.stack(found, 1)

    def log_parameter_prior(self) -> Float[Tensor, ""]:
        """Return log p(θ): μ_c ~ N(0, 3² I), and Σ_c with density ∝ |Σ|^(−5/2) exp(−tr Σ⁻¹/100)."""
        prior = self.generative.prior
        inverse = torch.linalg.inv(prior.roots())
        log_p = -prior.means.square().sum() / (2 * SPREAD**2)
        return log_p - 2 * POWER * prior.log_scale.sum() - RATE * inverse.square().sum()

    def draw(self, n: int) -> tuple[Float[Tensor, "n d"], Integer[Tensor, "n"]]:
        """Return n draws of x with their components."""
        x, _, c = self._dream(n)
        return x, c

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means of x given n samples of z."""
        return self.generative.mean(self.generative.prior.draw(n)[0])  # type: ignore[no-any-return]

    @torch.no_grad()
    def _dream(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        z, c = self.generative.prior.draw(n)
        mean = self.generative.mean(z)
        return mean + self.generative.log_noise.exp() * torch.randn_like(mean), z, c


class BentMixture(_Bent, ExponentialDreamer, ExactDreamer):
    """c ~ π, z ~ N(μ_c, Σ_c) in the plane, x ~ N(f(z), diag σ²) (Wenliang et al., 2020).

    f has one hidden layer of ReLUs. The latents are z and c.

    Args:
        visible: observed units D.
        components: number of components C.
        hidden: units of the net's hidden layer.
        nodes: quadrature nodes in `log_prob` for each of the two continuous latents.
    """

    def __init__(
        self,
        visible: Count,
        components: Count = 10,
        hidden: Count = 20,
        nodes: Annotated[int, Field(ge=2)] = 200,
    ) -> None:
        super().__init__()
        self.visible, self.nodes = visible, nodes
        self.generative = Bent(visible, components, hidden)

    @classmethod
    def tiny(cls) -> BentMixture:
        """Return two components above points on a line."""
        return cls(visible=1, components=2, hidden=3, nodes=40)

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, z, c) = log p(x | z) + log p(z, c)."""
        return self.log_likelihood(x, h) + self._log_prior(h)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) by quadrature, with gradients to θ."""
        return self.log_components(x, self.nodes).logsumexp(1).to(x)

    def natural(self, h: Latents) -> Float[Tensor, "n s"]:
        """Return η(z) = (f/σ², −1/(2σ²)): [N, 2D]."""
        precision = (-2 * self.generative.log_noise).exp()
        mean = self.generative.mean(h[0])
        return torch.cat([mean * precision, (-0.5 * precision).expand_as(mean)], 1)

    def normaliser(self, h: Latents) -> Float[Tensor, "n"]:
        """Return Σ_d f_d²/(2σ_d²) + log σ_d + ½ log 2π − log p(z, c)."""
        log_noise = self.generative.log_noise
        standard = self.generative.mean(h[0]) * (-log_noise).exp()
        terms = 0.5 * (standard.square() + LOG_2PI) + log_noise
        return terms.sum(1) - self._log_prior(h)

    def statistics(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """Return S(x) = (x, x²): [B, 2D]."""
        return torch.cat([x, x.square()], 1)

    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D], z [n, 2] and c [n, 1]."""
        x, z, c = self._dream(n)
        return x, [z, c[:, None].to(x)]

    def _log_prior(self, h: Latents) -> Tensor:
        return _at(self.generative.prior.log_joint(h[0]), h[1])


class BentMixtureVAE(_Bent, HelmholtzMachine):
    """`BentMixture` with a recognition net z | x ~ N(m(x), diag s²(x)); c is summed out.

    Args:
        visible: observed units D.
        components: number of components C.
        hidden: units of the generative net's hidden layer.
        recognition: units of the recognition net's two hidden layers, with ReLUs.
    """

    generative: Bent
    recognition: nn.Sequential

    def __init__(
        self,
        visible: Count,
        components: Count = 10,
        hidden: Count = 20,
        recognition: Count = 50,
    ) -> None:
        super().__init__()
        self.visible = visible
        self.generative = Bent(visible, components, hidden)
        self.recognition = nn.Sequential(
            nn.Linear(visible, recognition),
            nn.ReLU(),
            nn.Linear(recognition, recognition),
            nn.ReLU(),
            nn.Linear(recognition, 2 * PLANE),
        )

    @classmethod
    def tiny(cls) -> BentMixtureVAE:
        """Return wide components above points on a line, and a narrow q."""
        model = cls(visible=1, components=2, hidden=3, recognition=4)
        with torch.no_grad():
            model.generative.prior.log_scale.zero_()
            model.generative.log_noise.zero_()
            cast(nn.Linear, model.recognition[-1]).bias[PLANE:].sub_(1)  # log s
        return model

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, z) = log p(x | z) + log Σ_c p(z, c)."""
        return self.log_likelihood(x, h) + self.generative.prior.log_joint(h[0]).logsumexp(-1)

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples per point with their log q."""
        mean, log_scale = self.recognition(x).chunk(2, dim=-1)
        noise = torch.randn(k, *mean.shape, dtype=mean.dtype, device=mean.device)
        z = torch.addcmul(mean, log_scale.exp(), noise)
        z = z if pathwise else z.detach()
        return Inferred([z], _log_normal(z, mean, log_scale))

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(z | x) at given latents."""
        return _log_normal(h[0], *self.recognition(x).chunk(2, dim=-1))

    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and z [n, 2]."""
        x, z, _ = self._dream(n)
        return x, [z]


def _at(log_p: Float[Tensor, "*s c"], c: Float[Tensor, "*t 1"]) -> Float[Tensor, "*u"]:
    """Return log p at the components c; leading dims are broadcast."""
    shape = torch.broadcast_shapes(log_p.shape[:-1], c.shape[:-1])
    index = c.long().expand(*shape, 1)
    return log_p.expand(*shape, -1).gather(-1, index)[..., 0]


def _log_normal(
    z: Float[Tensor, "*s z"], mean: Float[Tensor, "*t z"], log_scale: Float[Tensor, "*t z"]
) -> Float[Tensor, "*u"]:
    standard = (z - mean) * (-log_scale).exp()
    return (-0.5 * (standard.square() + LOG_2PI) - log_scale).sum(-1)
