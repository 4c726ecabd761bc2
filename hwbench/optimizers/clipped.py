"""RMSProp with a bound on the gradient of each parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor


class ClippedRMSprop(torch.optim.Optimizer):
    """RMSProp after clipping the gradient norm of each parameter separately (Mansimov's code).

        g ← g min(1, clip / ‖g‖),   r ← α r + (1 − α) g²,   θ ← θ − lr g / √(r + ε)

    A stage's `clip_gradient` differs: it bounds the norm of all parameters together. So does
    torch's RMSprop, which adds ε to √r.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        alpha: α.
        eps: ε.
        clip: largest norm of the gradient of one parameter (a matrix, a vector).

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: Annotated[float, Field(ge=0)] = 1e-3,
        alpha: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        eps: Annotated[float, Field(gt=0)] = 1e-6,
        clip: Annotated[float, Field(gt=0)] = 10.0,
    ) -> None:
        if lr < 0 or not 0 <= alpha < 1 or eps <= 0 or clip <= 0:
            raise ValueError(
                "ClippedRMSprop: needs lr ≥ 0, alpha in [0, 1), eps and clip > 0; "
                f"found {lr=}, {alpha=}, {eps=}, {clip=}"
            )
        self.alpha, self.eps, self.clip = alpha, eps, clip
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.state[p] = {"squares": torch.zeros_like(p)}
                squares = self.state[p]["squares"]
                norm = torch.linalg.vector_norm(p.grad)
                g = p.grad * (self.clip / norm).clamp(max=1)
                squares.mul_(self.alpha).addcmul_(g, g, value=1 - self.alpha)
                p.addcdiv_(g, (squares + self.eps).sqrt_(), value=-group["lr"])
        return loss
