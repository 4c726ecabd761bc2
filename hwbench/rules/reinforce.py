"""REINFORCE: the score-function gradient, with baselines."""

# Dims: K samples, B points, D observed units.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.protocols import HelmholtzMachine, Rule, TrainSplit

Count = Annotated[int, Field(ge=1)]


class REINFORCE(Rule[HelmholtzMachine]):
    """REINFORCE (Williams, 1992) on the free energy F(x) = E_q[F̂], F̂ = log q(h | x) − log p(x, h).

        θ descends  −∇ log p(x, h)
        φ descends  (F̂ − b) ∇ log q(h | x)        at h ~ q, detached

    A baseline b that does not depend on its own sample leaves the mean unchanged, since
    E[∇ log q] = 0:

        none            0
        mean            a running mean of F̂ over earlier batches
        network         that mean plus a net of x, fitted to F̂ (Mnih & Gregor, 2014)
        leave-one-out   the mean of F̂ over the other samples of the same point; needs k ≥ 2

    The loss has the value F̂, averaged over samples and batch. It also trains the baseline net's
    squared error, over the net's own parameters.

    Args:
        baseline: one of the above.
        k: samples per point.
        decay: decay of the running mean.
        hidden: units of the baseline net.

    Raises:
        ValueError: the baseline is leave-one-out and k is 1.
    """

    running_mean: Tensor
    started: Tensor

    def __init__(
        self,
        baseline: Literal["none", "mean", "network", "leave-one-out"] = "mean",
        k: Count = 1,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        hidden: Count = 100,
    ) -> None:
        super().__init__()
        if baseline == "leave-one-out" and k < 2:
            raise ValueError("REINFORCE: leave-one-out needs k ≥ 2 samples per point, found k = 1")
        self.baseline, self.k, self.decay, self.hidden = baseline, k, decay, hidden
        self.register_buffer("running_mean", torch.zeros(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.network: nn.Sequential | None = None

    def begin(self, model: HelmholtzMachine, train: TrainSplit) -> None:
        """Build the baseline net; call this before creating the optimizer."""
        if self.baseline == "network":
            self.network = nn.Sequential(
                nn.Linear(model.visible, self.hidden), nn.Tanh(), nn.Linear(self.hidden, 1)
            ).to(train.values.device)

    def forward(self, model: HelmholtzMachine, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the surrogate loss on the batch x."""
        h, log_q = model.infer(x, self.k)  # [K, B]
        log_p = model.log_joint(x, h)
        signal = (log_q - log_p).detach()
        baseline = self._baseline(x, signal)
        loss = ((signal - baseline.detach()) * log_q - log_p).mean()
        if self.network is not None:
            loss = loss + (signal - baseline).square().mean()
        return loss + (signal.mean() - loss).detach()

    def _baseline(self, x: Tensor, signal: Tensor) -> Tensor:
        """Return b [K, B] (or broadcastable to it), and update the running mean."""
        if self.baseline == "none":
            return torch.zeros_like(signal[:1])
        if self.baseline == "leave-one-out":
            return (signal.sum(0) - signal) / (self.k - 1)
        # Before there is a running mean, the baseline is the mean over the batch's other samples.
        others = (signal.sum() - signal) / max(1, signal.numel() - 1)
        baseline = torch.where(self.started, self.running_mean, others)
        past = torch.where(self.started, self.running_mean, signal.mean())
        self.running_mean = past.lerp(signal.mean(), 1 - self.decay)
        self.started = torch.ones_like(self.started)
        if self.baseline == "network":
            if self.network is None:
                raise ValueError("REINFORCE: no baseline network yet; call begin first")
            baseline = baseline + self.network(x)[:, 0]
        return baseline
