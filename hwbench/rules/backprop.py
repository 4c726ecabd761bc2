"""Stochastic back-propagation through Gaussian units, to first and to second order."""

# Dims: K samples, B points, D observed units, Z units of a layer, P probes.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import GaussianHelmholtzMachine, Latents, Rule


class StochasticBackpropagation(Rule[GaussianHelmholtzMachine]):
    """Stochastic back-propagation (Rezende, 2012; Rezende, Mohamed & Wierstra, 2014).

    Descends the free energy F(x) = E_q[−log p(x, h)] − H[q] with the entropy of each Gaussian
    conditional in closed form. θ follows −∇ log p(x, h) at h ~ q; φ follows, layer by layer with
    q_l = N(μ, R Rᵀ) and V_l the cost as a function of h_l (the layers above on fixed noise),

        pathwise       ∇_φ V_l(μ + R ε),   ε ~ N(0, I)
        second order   E[∇V_l] ∇_φ μ + ½ E[∇²V_l] : ∇_φ(R Rᵀ)      (Bonnet, 1964; Price, 1958)

    and the entropies. With more than one layer, the second-order form needs the full Hessian of
    V_l, since V_l also depends on h_l through the layers above h_{l+1}:

        exact        every column of R with its Hessian product: Σ_l Z_l double backward passes
        hutchinson   one random-sign probe v, E[v vᵀ] = I: unbiased, one double pass per layer
        diagonal     the model's `curvature`: a biased approximation below the top layer, and
                     wherever R is not diagonal (rank one)

    The loss has the value F̂, averaged over samples and batch.

    Args:
        order: 1 (pathwise) or 2.
        hessian: how second derivatives are computed.
        k: samples per point.
    """

    def __init__(
        self,
        order: Literal[1, 2] = 1,
        hessian: Literal["exact", "hutchinson", "diagonal"] = "exact",
        k: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        super().__init__()
        self.order, self.hessian, self.k = order, hessian, k

    @classmethod
    def tiny(cls) -> StochasticBackpropagation:
        """Return the exact second-order form."""
        return cls(order=2)

    def forward(
        self, model: GaussianHelmholtzMachine, x: Float[Tensor, "b d"]
    ) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""
        if self.order == 1:
            h, entropy = self._draw(model, x, [])
            return (-model.log_joint(x, h) - entropy).mean()
        shifts = [x.new_zeros(self.k, len(x), z, requires_grad=True) for z in model.layers]
        with torch.enable_grad():
            path, entropy = self._draw(model, x, shifts)
            cost = -model.log_joint(x, path) - entropy  # [K, B]
            keep = self.hessian != "diagonal"
            slopes = torch.autograd.grad(cost.sum(), shifts, create_graph=keep)
        h = [h_l.detach() for h_l in path]
        gradient = [s.detach() for s in slopes]
        curvature = model.curvature(x, h, gradient) if self.hessian == "diagonal" else []

        loss = -model.log_joint(x, h)
        for layer in range(len(h)):
            q = model.conditional(layer, x, h)
            loss = loss + (q.mean * gradient[layer]).sum(-1) - q.entropy()
            if self.hessian == "diagonal":
                loss = loss + 0.5 * (q.variance() * curvature[layer]).sum(-1)
                continue
            probes = self._probes(h[layer])  # v, [P, …, Z] with E Σ_P v vᵀ = I
            columns = q.root(probes)
            (products,) = torch.autograd.grad(
                slopes[layer],
                shifts[layer],
                columns.detach().expand(len(probes), *h[layer].shape),
                retain_graph=True,
                is_grads_batched=True,
            )
            # The derivative of ½ Σ (R v)ᵀ H (R v) is Σ (d R v)ᵀ H (R v).
            loss = loss + (columns * products).sum((0, -1))
        loss = loss.mean()
        return loss + (cost.mean() - loss).detach()

    def _draw(
        self, model: GaussianHelmholtzMachine, x: Tensor, shifts: Latents
    ) -> tuple[Latents, Tensor]:
        """Return reparameterised h ~ q plus `shifts`, and the sum of the layers' entropies."""
        h: Latents = []
        entropy = x.new_zeros(())
        for layer, units in enumerate(model.layers):
            q = model.conditional(layer, x, h)
            h_l = q.mean + q.root(x.new_empty(self.k, len(x), units).normal_())
            h.append(h_l + shifts[layer] if shifts else h_l)
            entropy = entropy + q.entropy()
        return h, entropy

    def _probes(self, h: Tensor) -> Tensor:
        units = h.shape[-1]
        if self.hessian == "hutchinson":
            return torch.randint(0, 2, (1, *h.shape), device=h.device).to(h.dtype) * 2 - 1
        return torch.eye(units, dtype=h.dtype, device=h.device)[:, None, None]
