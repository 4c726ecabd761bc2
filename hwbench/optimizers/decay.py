"""Momentum with a learning rate that decays at every step, and bounded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor


class DecayingSGD(torch.optim.Optimizer):
    """SGD with momentum, Δ ← β Δ + g, θ ← θ − η_t Δ, at a rate that falls with every step.

        η_t = max(lr / decayᵗ, floor),   t = 1, 2, …

    Salakhutdinov & Hinton (2009) train deep Boltzmann machines in this way, at 0.001 / 1.000015ᵗ
    and at least 1e-4, since chains can follow a model only while it moves slowly. A stage's
    `schedule` may additionally set lr and momentum.

    Args:
        params: parameters or groups of them.
        lr: the rate before the first step.
        momentum: β.
        decay: divisor of the rate at each step.
        floor: smallest rate that decay can reach.
        max_norm: largest norm of the weights into a unit (a column of a matrix) from below; after
            each step, longer vectors are shortened to it.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: Annotated[float, Field(ge=0)] = 1e-3,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        decay: Annotated[float, Field(ge=1)] = 1.000015,
        floor: Annotated[float, Field(ge=0)] = 1e-4,
        max_norm: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        positive = max_norm is None or max_norm > 0
        if min(lr, floor) < 0 or not 0 <= momentum < 1 or decay < 1 or not positive:
            raise ValueError(
                "DecayingSGD: needs lr and floor ≥ 0, momentum in [0, 1), decay ≥ 1, max_norm > 0; "
                f"found {lr=}, {floor=}, {momentum=}, {decay=}, {max_norm=}"
            )
        self.decay, self.floor, self.max_norm = decay, floor, max_norm
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
            t = states[0]["step"] + 1
            rate = max(group["lr"] / self.decay**t, min(self.floor, group["lr"]))
            deltas = [s["delta"] for s in states]
            torch._foreach_mul_(deltas, group["momentum"])
            torch._foreach_add_(deltas, [p.grad for p in params])
            torch._foreach_add_(params, deltas, alpha=-rate)
            for state in states:
                state["step"] = t
            if self.max_norm is not None:
                for p in params:
                    if p.ndim == 2:
                        p.copy_(torch.renorm(p, 2, 1, self.max_norm))
        return loss
