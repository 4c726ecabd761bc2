"""Expectations of the log joint under other approximations of the posterior, for comparison.

Dims: N samples or nodes, B points, Z latents.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import ConditionalDreamer, GaussianDreamer, LogJointRule

MOST_NODES = 100_000  # of all latents together


class PriorSampling(LogJointRule[ConditionalDreamer]):
    """Self-normalised importance sampling from the prior.

        f̂(x) = Σ_n w_n log p_θ(x, h_n),   h_n ~ p_θ(h),   w_n ∝ p_θ(x | h_n)

    The weights are constant, and all points of a batch share the samples.

    Args:
        samples: N.
    """

    def __init__(self, samples: Annotated[int, Field(ge=1)] = 2000) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"PriorSampling: samples must be at least 1 (found {samples})")
        self.samples = samples

    @classmethod
    def tiny(cls) -> PriorSampling:
        """Return a rule with few samples."""
        return cls(samples=50)

    def estimate(self, model: ConditionalDreamer, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return f̂ of each point."""
        _, h = model.dream(self.samples)
        shared = [h_l[:, None] for h_l in h]
        with torch.no_grad():
            w = model.log_likelihood(x, shared).softmax(0)  # [N, B]
        return (w * model.log_joint(x, shared)).sum(0)


class GaussianPosterior(LogJointRule[GaussianDreamer]):
    """Variational learning with the best Gaussian q for each point: no net, no amortisation gap.

        f̂(x) = E_q[log p_θ(x, z)],   q = argmax over N(m, L Lᵀ) of E_q[log p_θ(x, z)] + H(q)

    with q constant. Expectations are Gauss-Hermite sums, and q is found by L-BFGS.

    Args:
        covariance: `full`, or `factorised` for a diagonal one.
        nodes: Gauss-Hermite nodes for each latent.
        iterations: most iterations of L-BFGS.

    Raises:
        ValueError: there are fewer than two nodes.
    """

    rounds = False

    deterministic = True

    def __init__(
        self,
        covariance: Literal["full", "factorised"] = "full",
        nodes: Annotated[int, Field(ge=2)] = 41,
        iterations: Annotated[int, Field(ge=1)] = 200,
    ) -> None:
        super().__init__()
        if nodes < 2:
            raise ValueError(f"GaussianPosterior: nodes must be at least 2 (found {nodes})")
        self.covariance, self.nodes, self.iterations = covariance, nodes, iterations

    @classmethod
    def tiny(cls) -> GaussianPosterior:
        """Return a rule with few nodes."""
        return cls(nodes=9, iterations=30)

    def check(self, model: GaussianDreamer) -> None:
        """Reject a model with too many latents for a product of Gauss-Hermite rules.

        Raises:
            ValueError: there would be more than 100 000 nodes.
        """
        if self.nodes**model.latent > MOST_NODES:
            raise ValueError(
                f"{self.nodes} nodes for each of the {model.latent} latents of "
                f"{type(model).__name__} are {self.nodes**model.latent}, above {MOST_NODES}"
            )

    def estimate(self, model: GaussianDreamer, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return f̂ of each point."""
        noise, weight = (t.to(x) for t in gauss_hermite(self.nodes, model.latent))
        mean, root = self._best(model, x, noise, weight)
        return weight @ model.log_joint(x, [_spread(mean, root, noise)])

    @torch.enable_grad()
    def _best(
        self, model: GaussianDreamer, x: Tensor, noise: Tensor, weight: Tensor
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z z"]]:
        """Return mean and root of the best q, from the posterior's moments on the nodes."""
        with torch.no_grad():
            z = noise[:, None].expand(-1, len(x), -1)
            log_p = model.log_joint(x, [z]) + 0.5 * z.square().sum(-1)  # over the density of nodes
            w = weight[:, None] * (log_p - log_p.amax(0)).exp()
            w = w / w.sum(0)
            mean = torch.einsum("nb,nz->bz", w, noise)
            variance = torch.einsum("nb,nbz->bz", w, (z - mean).square())
        mean = mean.clone().requires_grad_()
        log_scale = (0.5 * (variance + 1e-3).log()).requires_grad_()
        size = model.latent
        below = x.new_zeros(len(x), size, size).requires_grad_()
        free = [mean, log_scale, below] if self.covariance == "full" else [mean, log_scale]
        search = torch.optim.LBFGS(
            free,
            lr=1.0,
            max_iter=self.iterations,
            history_size=20,
            tolerance_grad=1e-9,
            tolerance_change=1e-10,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            log_p = model.log_joint(x, [_spread(mean, _root(log_scale, below), noise)])
            value = -(weight @ log_p).sum() - log_scale.sum()  # the rest of H(q) is constant
            for parameter, gradient in zip(free, torch.autograd.grad(value, free), strict=True):
                parameter.grad = gradient.contiguous()
            return value.detach()

        search.step(loss)
        return mean.detach(), _root(log_scale, below).detach()


def gauss_hermite(nodes: int, dims: int) -> tuple[Float[Tensor, "n z"], Float[Tensor, "n"]]:
    """Return nodes and weights of E_{N(0, I)} in `dims` dimensions, in float64.

    >>> z, weight = gauss_hermite(5, 2)
    >>> round(float(weight @ z[:, 0] ** 4), 6)
    3.0
    """
    x, w = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    z = torch.cartesian_prod(*[x] * dims).view(-1, dims)
    return z, torch.cartesian_prod(*[w / w.sum()] * dims).view(-1, dims).prod(1)


def _root(log_scale: Float[Tensor, "b z"], below: Float[Tensor, "b z z"]) -> Tensor:
    return below.tril(-1) + torch.diag_embed(log_scale.exp())


def _spread(mean: Tensor, root: Tensor, noise: Tensor) -> Float[Tensor, "n b z"]:
    """Return m + L ε of each point at each node ε."""
    return mean + torch.einsum("bij,nj->nbi", root, noise)
