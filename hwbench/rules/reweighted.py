"""Reweighted wake-sleep, including classical wake-sleep (k = 1, no wake update of q).

Dims: K samples, B points, D observed units.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.numerics import log_mean_exp
from hwbench.protocols import HelmholtzMachine, Rule

Count = Annotated[int, Field(ge=1)]


class ReweightedWakeSleep(Rule[HelmholtzMachine]):
    """Reweighted wake-sleep (Bornschein & Bengio, 2015).

    With h_k ~ q(h | x) and weights w_k ∝ p(x, h_k) / q(h_k | x), normalised over the K samples of
    each x:

        wake θ     Σ_k w_k ∇_θ log p(x, h_k)
        wake φ     Σ_k w_k ∇_φ log q(h_k | x)
        sleep φ    ∇_φ log q(h | x)   at a dream x, h ~ p

    `ReweightedWakeSleep(k=1, wake=False)` is classical wake-sleep (Hinton et al., 1995). The loss
    has the gradient of these updates and the value −log (1/K) Σ_k p(x, h_k) / q(h_k | x), averaged
    over the batch.

    In the authors' code a sleep phase is a separate step that shares q's momentum with the wake
    phase; here its gradient is added to that of the preceding wake phase. With their momentum the
    sum of all steps is the same.

    Args:
        k: samples per point.
        wake: update q in the wake phase.
        sleep: update q in the sleep phase.
        sleep_interleave: number of wake phases per sleep phase (2 in the authors' code). The sleep
            phase counts for all of them, with `sleep_interleave` dreams for each point of the
            batch.
        dreams: dreams of a sleep phase; sleep_interleave × batch by default. Their number does not
            change the weight of the phase.
        reduction: whether gradients are the mean over the points of a batch or, as in the authors'
            code, their sum. A learning rate of 0.001 for sums over batches of 25 corresponds to
            0.025 for means.

    Raises:
        ValueError: neither wake nor sleep updates q, a count is below 1, or `reduction` is unknown.
    """

    steps: Tensor

    def __init__(
        self,
        k: Count = 5,
        wake: bool = True,
        sleep: bool = True,
        sleep_interleave: Count = 1,
        dreams: Count | None = None,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        for name, count in (("k", k), ("sleep_interleave", sleep_interleave), ("dreams", dreams)):
            if count is not None and count < 1:
                raise ValueError(f"ReweightedWakeSleep: {name} must be at least 1 (found {count})")
        if reduction not in ("mean", "sum"):
            raise ValueError(
                f"ReweightedWakeSleep: reduction must be mean or sum (found {reduction!r})"
            )
        if not (wake or sleep):
            raise ValueError("wake and sleep are both off: the recognition net would never learn")
        self.k = k
        self.wake = wake
        self.sleep = sleep
        self.sleep_interleave = sleep_interleave
        self.dreams = dreams
        self.reduction = reduction
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # wake phases so far

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""
        with torch.set_grad_enabled(self.wake and torch.is_grad_enabled()):
            h, log_q = model.infer(x, self.k)  # [K, B]
        log_p = model.log_joint(x, h)
        log_w = (log_p - log_q).detach()
        w = log_w.softmax(0)  # sums to 1 over the samples of each point

        loss = -(w * log_p).sum(0).mean()
        if self.wake:
            loss = loss - (w * log_q).sum(0).mean()
        if self.sleep and self._falls_asleep():
            loss = loss - self.sleep_interleave * self._dreamt(model, len(x))
        if self.reduction == "sum":
            loss = loss * len(x)
        return loss + (-log_mean_exp(log_w).mean() - loss).detach()

    def _falls_asleep(self) -> bool:
        if self.sleep_interleave == 1:
            return True
        self.steps += 1
        return int(self.steps) % self.sleep_interleave == 0

    def _dreamt(self, model: HelmholtzMachine, batch: int) -> Float[Tensor, ""]:
        """Return log q(h | x), averaged over dreams."""
        x, h = model.dream(self.dreams or self.sleep_interleave * batch)
        return model.log_q(h, x).mean()
