"""The variant of Adam in the code of Burda et al. (2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class BurdaAdam(torch.optim.Optimizer):
    """Adam (Kingma & Ba, 2015) as implemented by the authors of the IWAE.

    It differs from the published algorithm in four ways. β₁ is 0.99; ε = 1e-4 is added to the
    uncorrected √v; the second moment starts at one; and a step uses the moments before they include
    its own gradient (the update rules are applied simultaneously):

        θ ← θ − α_t m / (√v + ε),   α_t = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ);
        then m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²

    The first step therefore changes nothing. The authors' g is the sum over the minibatch. For a
    loss that is a mean, set `gradient_scale` to their batch size, since v₀ and ε make the scale
    matter.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: Rate = 1e-3,
        beta1: Decay = 0.99,
        beta2: Decay = 0.999,
        eps: Rate = 1e-4,
        gradient_scale: Rate = 1.0,
    ) -> None:
        self.gradient_scale = gradient_scale
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p] = {"step": 0, "m": torch.zeros_like(p), "v": torch.ones_like(p)}
            states = [self.state[p] for p in params]
            t = states[0]["step"] + 1
            beta1, beta2 = group["beta1"], group["beta2"]
            alpha = group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            m, v = [s["m"] for s in states], [s["v"] for s in states]
            g = [p.grad * self.gradient_scale for p in params]
            scale = torch._foreach_sqrt(v)
            torch._foreach_add_(scale, group["eps"])
            torch._foreach_addcdiv_(params, m, scale, value=-alpha)
            torch._foreach_lerp_(m, g, 1 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, g, g, value=1 - beta2)
            for state in states:
                state["step"] = t
        return loss
