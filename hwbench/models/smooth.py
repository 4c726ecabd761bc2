"""Smooth Helmholtz machine: Gaussian units with tanh means over Bernoulli observations."""

# Dims: *S leading dims (samples, points), K samples, B points, D observed units, Z latent units.

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.layers import Linear
from hwbench.protocols import Gaussian, GaussianHelmholtzMachine, Inferred, Latents, TrainSplit

Count = Annotated[int, Field(ge=1)]
LOG_VAR_RANGE = (-10.0, 4.0)  # Outside, a variance has collapsed or exploded.
LOG_2PI = math.log(2 * math.pi)


class Diagonal(Gaussian):
    """N(mean, diag exp(log_var))."""

    def __init__(self, mean: Tensor, log_var: Tensor) -> None:
        self.mean, self.log_var = mean, log_var

    def root(self, noise: Float[Tensor, "*s z"]) -> Float[Tensor, "*t z"]:
        """Return σ ε."""
        return noise * (0.5 * self.log_var).exp()

    def variance(self) -> Float[Tensor, "*s z"]:
        """Return σ²."""
        return self.log_var.exp()

    def log_prob(self, h: Float[Tensor, "*s z"]) -> Float[Tensor, "*t"]:
        """Return the log density, in nats."""
        squares = (h - self.mean).square() * (-self.log_var).exp()
        return -0.5 * (squares + self.log_var + LOG_2PI).sum(-1)

    def entropy(self) -> Float[Tensor, "*t"]:
        """Return the differential entropy, in nats."""
        return 0.5 * (self.log_var + LOG_2PI + 1).sum(-1).expand(self.mean.shape[:-1])


class RankOne(Gaussian):
    """N(mean, Σ) with Σ⁻¹ = diag exp(−log_var) + u uᵀ (Rezende, Mohamed & Wierstra, 2014).

    With D = diag exp(−log_var), s = uᵀ D⁻¹ u and η = 1 / (1 + s),

        R = D^{−1/2} − (1 − √η) / s · D⁻¹ u uᵀ D^{−1/2},   log |Σ| = log η − log |D|.
    """

    def __init__(self, mean: Tensor, log_var: Tensor, u: Tensor) -> None:
        self.mean, self.log_var, self.u = mean, log_var, u
        self.s = (u.square() * log_var.exp()).sum(-1, keepdim=True)

    def root(self, noise: Float[Tensor, "*s z"]) -> Float[Tensor, "*t z"]:
        """Return R ε."""
        # This form of (1 − √η) / s has no 0 / 0 at s = 0.
        shrink = 1 / (1 + self.s + (1 + self.s).sqrt())
        white = noise * (0.5 * self.log_var).exp()
        along = (white * self.u).sum(-1, keepdim=True)
        return white - shrink * along * self.u * self.log_var.exp()

    def variance(self) -> Float[Tensor, "*s z"]:
        """Return the diagonal of D⁻¹ − η D⁻¹ u uᵀ D⁻¹."""
        diagonal = self.log_var.exp()
        return diagonal - (diagonal * self.u).square() / (1 + self.s)

    def _log_det(self) -> Tensor:
        return self.log_var.sum(-1) - self.s[..., 0].log1p()

    def log_prob(self, h: Float[Tensor, "*s z"]) -> Float[Tensor, "*t"]:
        """Return the log density, in nats."""
        difference = h - self.mean
        along = (difference * self.u).sum(-1).square()
        squares = (difference.square() * (-self.log_var).exp()).sum(-1) + along
        return -0.5 * (squares + self._log_det() + LOG_2PI * h.shape[-1])

    def entropy(self) -> Float[Tensor, "*t"]:
        """Return the differential entropy, in nats."""
        constant = (LOG_2PI + 1) * self.mean.shape[-1]
        return 0.5 * (self._log_det() + constant).expand(self.mean.shape[:-1])


class GaussianLayer(nn.Module):
    """p(h | a) = N(tanh(W a + b), Σ) with a free Σ, or with log σ² (and u) linear in a.

    Args:
        inputs: number of inputs a.
        units: number of units h.
        log_var: initial log σ².
        network: whether the covariance depends on the inputs.
        rank_one: use the precision diag(1/σ²) + u uᵀ instead of diag(1/σ²).
    """

    def __init__(
        self, inputs: int, units: int, log_var: float, network: bool = False, rank_one: bool = False
    ) -> None:
        super().__init__()
        self.rank_one = rank_one
        self.mean = Linear(inputs, units)
        self.covariance: nn.Linear | None = None
        columns = 2 if rank_one else 1
        start = torch.zeros(columns, units)
        start[0] = log_var
        start[1:] = 0.1 * torch.randn(columns - 1, units)  # At u = 0 its gradient would vanish.
        if network:
            self.covariance = Linear(inputs, columns * units)
            with torch.no_grad():
                self.covariance.weight.mul_(0.1)
                self.covariance.bias.copy_(start.flatten())
        else:
            self.free = nn.Parameter(start)

    def forward(self, a: Float[Tensor, "*s i"]) -> Gaussian:
        """Return the distribution of h, of shape [*S, Z]."""
        mean = self.mean(a).tanh()
        if self.covariance is None:
            log_var, *u = self.free
        else:
            log_var, *u = self.covariance(a).chunk(2 if self.rank_one else 1, -1)
        log_var = log_var.clamp(*LOG_VAR_RANGE)
        return RankOne(mean, log_var, u[0]) if self.rank_one else Diagonal(mean, log_var)


class SmoothHelmholtzMachine(GaussianHelmholtzMachine):
    """Smooth Helmholtz machine (Rezende, 2012) with binary observations.

        p(x, h) = N(h_L; 0, I) Π_l N(h_l; tanh(W_l h_{l+1} + B_l), Σ_l) · Bern(x; σ(W_0 h_1 + B_0))

    with diagonal Σ_l. The recognition net has separate parameters and the same kind of units:

        bottom-up     q(h | x) = Π_l N(h_l; tanh(V_l h_{l−1} + C_l), S_l),   S_l diagonal
        rank-one      the same with S_l⁻¹ = D_l + u_l u_lᵀ
        mean-field    q(h | x) = Π_l N(h_l; m_l, S_l),   m_l = tanh(V_l m_{l−1} + C_l),   m_0 = x

    Log variances are kept in [−10, 4].

    Args:
        visible: observed units D.
        layers: latent units, the layer next to the data first.
        posterior: the form of q.
        covariance: whether the covariances of q are free parameters, like those of p, or depend
            on the layer below.
        log_var: initial log variance of all units.
        output_bias: start B_0 at the logit of the pixel means (clipped to [0.001, 0.999]), or at
            zero.

    >>> model = SmoothHelmholtzMachine(visible=6, layers=[3, 2])
    >>> h, log_q = model.infer(torch.zeros(5, 6), k=7)
    >>> [tuple(h_l.shape) for h_l in h], tuple(model.log_joint(torch.zeros(5, 6), h).shape)
    ([(7, 5, 3), (7, 5, 2)], (7, 5))
    """

    generative: nn.ModuleList
    recognition: nn.ModuleList

    def __init__(
        self,
        visible: Count,
        layers: Annotated[list[Count], Field(min_length=1)],
        posterior: Literal["bottom-up", "mean-field", "rank-one"] = "bottom-up",
        covariance: Literal["free", "network"] = "free",
        log_var: Annotated[float, Field(ge=LOG_VAR_RANGE[0], le=LOG_VAR_RANGE[1])] = -2.0,
        output_bias: Literal["data", "zero"] = "data",
    ) -> None:
        super().__init__()
        if not layers or min(layers) < 1:
            raise ValueError(
                f"layers must list one or more sizes, each at least 1 (found {layers})"
            )
        self.visible, self.layers = visible, list(layers)
        self.posterior, self.output_bias = posterior, output_bias
        sizes = [visible, *layers]
        self.generative = nn.ModuleList(
            [
                Linear(layers[0], visible),
                *(GaussianLayer(above, below, log_var) for below, above in pairwise(layers)),
            ]
        )
        self.recognition = nn.ModuleList(
            GaussianLayer(below, above, log_var, covariance == "network", posterior == "rank-one")
            for below, above in pairwise(sizes)
        )

    @classmethod
    def tiny(cls) -> SmoothHelmholtzMachine:
        """Return two layers of one latent unit each, so that quadrature can compute log p(x)."""
        return cls(visible=4, layers=[1, 1], log_var=-0.5)

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Start the output biases at the logit of the training pixels' means."""
        if self.output_bias == "data":
            bias = cast(nn.Linear, self.generative[0]).bias
            bias.copy_(train.means().clamp(1e-3, 1 - 1e-3).logit())

    # --- recognition

    def conditional(self, layer: int, x: Float[Tensor, "*b d"], h: Latents) -> Gaussian:
        """Return q(h_layer | x, h[:layer])."""
        if self.posterior != "mean-field":
            return self.recognition[layer](h[layer - 1] if layer else x)
        q = self.recognition[0](x)
        for net in self.recognition[1 : layer + 1]:
            q = net(q.mean)
        return q

    def infer(self, x: Float[Tensor, "b d"], k: int, *, pathwise: bool = False) -> Inferred:
        """Draw k samples h ~ q(h | x) per point with their log q."""
        h: Latents = []
        log_q = x.new_zeros(())
        for layer, units in enumerate(self.layers):
            q = self.conditional(layer, x, h)
            h_l = q.mean + q.root(x.new_empty(k, len(x), units).normal_())
            h.append(h_l if pathwise else h_l.detach())
            log_q = log_q + q.log_prob(h[-1])
        return Inferred(h, log_q)

    def log_q(self, h: Latents, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*k b"]:
        """Return log q(h | x) = Σ_l log q(h_l | x, h_<l) at given latents."""
        terms = [self.conditional(layer, x, h).log_prob(h_l) for layer, h_l in enumerate(h)]
        return torch.stack(terms).sum(0)

    # --- generative

    def log_prior(self, h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(h) = log p(h_L) + Σ_l log p(h_l | h_{l+1})."""
        log_p = -0.5 * (h[-1].square() + LOG_2PI).sum(-1)
        for net, (below, above) in zip(self.generative[1:], pairwise(h), strict=True):
            log_p = log_p + net(above).log_prob(below)
        return log_p

    def log_likelihood(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x | h) = Σ_d log Bern(x_d; σ(W_0 h_1 + B_0)_d)."""
        logits = self.generative[0](h[0])
        if (
            logits.ndim == 3 and logits.shape[1] == 1 and x.ndim == 2
        ):  # All points share the samples.
            return logits[:, 0] @ x.t() - F.softplus(logits).sum(-1)
        return (x * logits).sum(-1) - F.softplus(logits).sum(-1)

    def log_joint(self, x: Float[Tensor, "*b d"], h: Latents) -> Float[Tensor, "*k b"]:
        """Return log p(x, h) = log p(h) + log p(x | h)."""
        return self.log_prior(h) + self.log_likelihood(x, h)

    def _descend(self, n: int) -> tuple[Tensor, Latents]:
        weight = cast(nn.Linear, self.generative[0]).weight
        h = [torch.randn(n, self.layers[-1], dtype=weight.dtype, device=weight.device)]
        for net in reversed(cast(list[nn.Module], list(self.generative[1:]))):
            p = net(h[0])
            h.insert(0, p.mean + p.root(torch.randn_like(p.mean)))
        return self.generative[0](h[0]).sigmoid(), h

    @torch.no_grad()
    def dream(self, n: int) -> tuple[Float[Tensor, "n d"], Latents]:
        """Return n joint samples, x [n, D] and latents, each [n, Z]."""
        means, h = self._descend(n)
        return means.bernoulli(), h

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the pixel means of n ancestral samples."""
        return self._descend(n)[0]

    # --- second derivatives

    @torch.no_grad()
    def curvature(self, x: Float[Tensor, "b d"], h: Latents, gradient: Latents) -> Latents:
        """Return the diagonal second derivatives of the cost; see the protocol.

        Free covariances of q do not depend on h. If a network computes them, their second
        derivatives are omitted, too.
        """
        pixels = cast(nn.Linear, self.generative[0])
        p = pixels(h[0]).sigmoid()
        below = (p * (1 - p)) @ pixels.weight.square()  # term of −log p(x | h_1)
        out: Latents = []
        for layer, h_l in enumerate(h):
            own = torch.ones_like(h_l)  # term of −log p(h_l | h_{l+1}) or −log p(h_L)
            if layer + 1 < len(h):
                net = cast(GaussianLayer, self.generative[layer + 1])
                prior = cast(Diagonal, net(h[layer + 1]))
                precision = (-prior.log_var).exp()
                own = own * precision
                slope, bend = _tanh_derivatives(prior.mean)
                residual = (h_l - prior.mean) * precision
                above = (slope.square() * precision - residual * bend) @ net.mean.weight.square()
            out.append(below + own)
            if layer + 1 < len(h):
                below = above
        if self.posterior == "mean-field":  # The draw of h_l does not depend on h_{l−1}.
            return out
        for layer in reversed(range(len(h) - 1)):
            net = cast(GaussianLayer, self.recognition[layer + 1])
            slope, bend = _tanh_derivatives(net.mean(h[layer]).tanh())
            through = out[layer + 1] * slope.square() + gradient[layer + 1] * bend
            out[layer] = out[layer] + through @ net.mean.weight.square()
        return out


def _tanh_derivatives(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh' and tanh'' at the point where tanh is y."""
    slope = 1 - y.square()
    return slope, -2 * y * slope
