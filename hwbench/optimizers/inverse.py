"""Momentum that grows, at a learning rate that falls with the inverse of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor


class InverseTimeSGD(torch.optim.Optimizer):
    """SGD with momentum, Δ ← β_t Δ + g, θ ← θ − η_t Δ, as in the code of Srivastava (deepnet).

        η_t = lr / (1 + t / half_life),
        β_t = start + (momentum − start) min(1, t / ramp),   t = 0, 1, …

    The last version of that code lets the momentum approach its end exponentially instead, with
    `ramp` as the time constant.

    Args:
        params: parameters or groups of them.
        lr: the rate of the first step.
        half_life: number of steps after which the rate is half of lr.
        momentum: the momentum after `ramp` steps.
        start: the momentum of the first step.
        ramp: number of steps in which the momentum rises.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: Annotated[float, Field(ge=0)] = 1e-3,
        half_life: Annotated[int, Field(ge=1)] = 10_000,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        start: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        ramp: Annotated[int, Field(ge=1)] = 10_000,
    ) -> None:
        if lr < 0 or half_life < 1 or ramp < 1 or not (0 <= start < 1 and 0 <= momentum < 1):
            raise ValueError(
                "InverseTimeSGD: needs lr ≥ 0, half_life and ramp ≥ 1, start and momentum in "
                f"[0, 1); found {lr=}, {half_life=}, {ramp=}, {start=}, {momentum=}"
            )
        self.half_life, self.start, self.ramp = half_life, start, ramp
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p] = {"step": 0, "delta": torch.zeros_like(p)}
            states = [self.state[p] for p in params]
            t = states[0]["step"]
            momentum = self.start + (group["momentum"] - self.start) * min(1.0, t / self.ramp)
            deltas = [s["delta"] for s in states]
            torch._foreach_mul_(deltas, momentum)
            torch._foreach_add_(deltas, [p.grad for p in params])
            torch._foreach_add_(params, deltas, alpha=-group["lr"] / (1 + t / self.half_life))
            for state in states:
                state["step"] = t + 1
        return loss
