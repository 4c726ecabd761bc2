"""Gradient descent on an exponential moving average of the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast, overload

import torch
from pydantic import Field
from torch import Tensor


class EMAMomentum(torch.optim.Optimizer):
    """Momentum as an exponential moving average: Δ ← β Δ + (1 − β) η g, θ ← θ − Δ.

    This is the optimizer of Bornschein & Bengio's code (2015). Compared with torch's
    `SGD(momentum=β)`, where Δ ← β Δ + g, the same learning rate η moves parameters 1 / (1 − β)
    times less. The authors' gradients are sums over the minibatch; see
    `ReweightedWakeSleep(reduction="sum")`.

    Args:
        params: parameters or groups of them.
        lr: learning rate η.
        momentum: β.
        skip_nan: entries of the gradient that are NaN do not change Δ, as in the authors' code;
            otherwise a NaN spreads, and the run ends as diverged.

    Raises:
        ValueError: a rate is out of range, for all parameters or for a group.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: Annotated[float, Field(ge=0)] = 1e-3,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95,
        skip_nan: bool = False,
    ) -> None:
        self._check(lr, momentum)
        super().__init__(params, {"lr": lr, "momentum": momentum, "skip_nan": skip_nan})

    @staticmethod
    def _check(lr: float, momentum: float) -> None:
        if not 0 <= lr < math.inf:
            raise ValueError(f"EMAMomentum: lr must be at least 0 and finite (found {lr})")
        if not 0 <= momentum < 1:
            raise ValueError(f"EMAMomentum: momentum must be in [0, 1) (found {momentum})")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, which may have its own rates.

        Raises:
            ValueError: one of them is out of range.
        """
        rates = {**self.defaults, **param_group}
        self._check(rates["lr"], rates["momentum"])
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["delta"] = torch.zeros_like(p)
            deltas = [self.state[p]["delta"] for p in params]
            moves = list(torch._foreach_mul([cast(Tensor, p.grad) for p in params], group["lr"]))
            if group["skip_nan"] and _may_have_nan(moves):
                moves = [torch.where(m.isnan(), d, m) for m, d in zip(moves, deltas, strict=True)]
            torch._foreach_lerp_(deltas, moves, 1 - group["momentum"])
            torch._foreach_sub_(params, deltas)
        return loss


def _may_have_nan(moves: list[Tensor]) -> bool:
    """Return whether an entry may be NaN; testing the sum costs a tenth of testing each entry.

    On a GPU the answer is always yes, since a test would force a synchronisation.
    """
    return moves[0].is_cuda or bool(torch.stack([m.sum() for m in moves]).sum().isnan())
