"""Bounds on log p(x) as learning rules: the k-sample ELBO and the importance-weighted bound.

Dims: K samples, B points, D observed units.
"""

from __future__ import annotations

from typing import Annotated, Protocol, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.numerics import log_mean_exp
from hwbench.protocols import HelmholtzMachine, Rule, TrainSplit

Samples = Annotated[int, Field(ge=1)]


class _RandomWeights(Protocol):
    def weight_kl(self) -> Tensor: ...


def log_weights(model: HelmholtzMachine, x: Float[Tensor, "b d"], k: int) -> Float[Tensor, "k b"]:
    """Return log w = log p(x, h) − log q(h | x) at reparameterised samples."""
    h, log_q = model.infer(x, k, pathwise=True)
    return model.log_joint(x, h) - log_q


class ELBO(Rule[HelmholtzMachine]):
    """Variational auto-encoder (Kingma & Welling, 2014) with k samples.

        L = (1/k) Σ_j log p(x, h_j) / q(h_j | x),   h_j ~ q(h | x) reparameterised

    For k > 1 this averages k one-sample bounds (the VAE columns of Burda et al., 2016), so a larger
    k only lowers the variance.
    """

    def __init__(self, k: Samples = 1) -> None:
        super().__init__()
        self.k = k

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return −L, averaged over the batch, in nats."""
        return -log_weights(model, x, self.k).mean()


class IWAE(Rule[HelmholtzMachine]):
    """Importance-weighted bound (Burda et al., 2016, eq. 8).

        L_k = log (1/k) Σ_j w_j,   w_j = p(x, h_j) / q(h_j | x),   ∇L_k = Σ_j w̃_j ∇ log w_j

    Equations 2 and 3 of Hernández-Lobato et al. (2016) give the bound without the log; each term
    would then equal p(x) in expectation for every k. For a model with random weights this is their
    IWAER bound.

    Args:
        k: samples per point.
        weight_kl: add KL(q(θ) ‖ N(0, I)) of the random generative weights, spread over the N
            training points as for one global θ. The paper reports that this is harmful, but not how
            it was weighted.
    """

    points: Tensor

    def __init__(self, k: Samples = 5, weight_kl: bool = False) -> None:
        super().__init__()
        self.k = k
        self.weight_kl = weight_kl
        self.register_buffer("points", torch.ones(()))

    def check(self, model: HelmholtzMachine) -> None:
        """Reject `weight_kl` for a model where it would be 0.

        Raises:
            ValueError: the model has no random generative weights.
        """
        if self.weight_kl and "generative" not in getattr(model, "random", ()):
            raise ValueError(
                f"weight_kl: this {type(model).__name__} has no random generative weights, whose "
                "KL it is; give the model `random: [generative]`, or leave weight_kl out"
            )

    def begin(self, model: HelmholtzMachine, train: TrainSplit) -> None:
        """Store the number of training points.

        Raises:
            ValueError: see `check`.
        """
        self.check(model)
        self.points = torch.full((), float(len(train)), device=self.points.device)

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return −L_k, averaged over the batch, in nats."""
        loss = -log_mean_exp(log_weights(model, x, self.k), 0).mean()
        if self.weight_kl:
            loss = loss + cast(_RandomWeights, model).weight_kl() / self.points
        return loss
