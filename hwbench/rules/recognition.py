"""Learning a recognition net for a generative model that stays as it is.

Dims: K samples, B points, D observed units.
"""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.numerics import log_mean_exp
from hwbench.protocols import HelmholtzMachine, Rule


class RecognitionLearning(Rule[HelmholtzMachine]):
    """The updates of q in reweighted wake-sleep (Bornschein & Bengio, 2015), and none of p.

        wake φ     Σ_k w_k ∇_φ log q(h_k | x),   h_k ~ q(h | x),   w_k ∝ p(x, h_k) / q(h_k | x)
        sleep φ    ∇_φ log q(h | x)   at a dream x, h ~ p

    So the likelihood of a model that was learned without q can be estimated with a q that fits it.
    The loss has the value −log (1/K) Σ_k p(x, h_k) / q(h_k | x), averaged over the batch.

    Args:
        k: samples per point.

    Raises:
        ValueError: k is below 1.
    """

    def __init__(self, k: Annotated[int, Field(ge=1)] = 5) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"RecognitionLearning: k must be at least 1 (found {k})")
        self.k = k

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""
        h, log_q = model.infer(x, self.k)
        with torch.no_grad():
            log_w = model.log_joint(x, h) - log_q
        dreamt, h_dreamt = model.dream(len(x))
        loss = -(log_w.softmax(0) * log_q).sum(0).mean() - model.log_q(h_dreamt, dreamt).mean()
        return loss + (-log_mean_exp(log_w).mean() - loss).detach()
