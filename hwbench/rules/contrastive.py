"""Contrastive divergence and its persistent form."""

# Dims: B points, N chains, D observed units.

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.products import low_precision
from hwbench.protocols import EnergyModel, Rule, TrainSplit


class ContrastiveDivergence(Rule[EnergyModel]):
    """CD-k (Hinton, 2002) and persistent CD-k (Tieleman, 2008).

    With x⁻ the state after k Gibbs sweeps from the data (CD) or from persistent chains (PCD), the
    update descends

        ∇ [mean F(x) − mean F(x⁻)] + weight_decay · W

    with x⁻ held fixed. The rule applies weight decay itself, since it is only for weights
    (parameters with two or more dimensions) and not for biases; leave the optimizer's at zero.
    A low `precision` is that of the sweeps.

    Args:
        k: sweeps per step.
        k_schedule: pairs [fraction of training, sweeps]: the sweeps from that fraction on. It must
            begin at fraction 0 and end with k.
        persistent: keep the chains from step to step (PCD).
        chains: number of persistent chains.
        weight_decay: coefficient of ½‖W‖².
    """

    chains: Tensor

    def __init__(
        self,
        k: Annotated[int, Field(ge=1)] = 1,
        k_schedule: list[list[int | float]] | None = None,
        persistent: bool = False,
        chains: Annotated[int, Field(ge=1)] = 100,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__()
        if k < 1 or chains < 1 or weight_decay < 0:
            raise ValueError(
                "ContrastiveDivergence: expected k ≥ 1, chains ≥ 1 and weight_decay ≥ 0; found "
                f"{k=}, {chains=}, {weight_decay=}"
            )
        self.schedule = _schedule(k, k_schedule)
        self.persistent, self.n_chains, self.weight_decay = persistent, chains, weight_decay
        self.k = self.schedule[0][1]
        self.register_buffer("chains", torch.zeros(0))

    @classmethod
    def tiny(cls) -> ContrastiveDivergence:
        """Return CD-2 with weight decay."""
        return cls(k=2, weight_decay=0.01)

    def begin(self, model: EnergyModel, train: TrainSplit) -> None:
        """Start the persistent chains at random training points."""
        if self.persistent:
            device = train.values.device
            index = torch.randint(len(train), (self.n_chains,), device=device)
            self.chains = train.batch(index).bernoulli()  # Binary points do not change.

    def advance(self, fraction: float) -> None:
        """Set the number of sweeps for this fraction of training from the schedule."""
        self.k = next(k for start, k in reversed(self.schedule) if start <= fraction)

    def forward(self, model: EnergyModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return mean F(x) − mean F(x⁻) + ½ weight_decay ‖W‖²."""
        negative = self._negative(model, x)
        return model.free_energy(x).mean() - model.free_energy(negative).mean() + self._decay(model)

    def backward(self, model: EnergyModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the model's `contrast`, which may not need autograd."""
        loss = model.contrast(x, self._negative(model, x))
        if self.weight_decay:
            with torch.no_grad():
                loss = loss + self._decay(model)
                for p in _weights(model):
                    assert p.grad is not None
                    p.grad.add_(p, alpha=self.weight_decay)
        return loss

    def _decay(self, model: EnergyModel) -> Tensor:
        if not self.weight_decay:
            return torch.zeros((), device=model.data_means.device)
        norms = torch.stack([torch.linalg.vector_norm(p) for p in _weights(model)])
        return 0.5 * self.weight_decay * norms.square().sum()

    def _negative(self, model: EnergyModel, x: Tensor) -> Tensor:
        if self.persistent and len(self.chains) == 0:
            raise ValueError("ContrastiveDivergence: no persistent chains yet; call begin first")
        start = self.chains if self.persistent else x
        with low_precision(x.device, self.precision == "bfloat16"):
            negative = model.gibbs(start, self.k).to(start.dtype)
        if self.persistent:
            self.chains = negative
        return negative


def _weights(model: EnergyModel) -> list[Tensor]:
    return [p for p in model.parameters() if p.ndim >= 2]


def _schedule(k: int, pairs: list[list[int | float]] | None) -> list[tuple[float, int]]:
    if pairs is None:
        return [(0.0, k)]
    good = (
        all(len(pair) == 2 and pair[1] == int(pair[1]) >= 1 for pair in pairs)
        and bool(pairs)
        and pairs[0][0] == 0
        and all(a[0] < b[0] <= 1 for a, b in pairwise(pairs))
        and pairs[-1][1] == k
    )
    if not good:
        raise ValueError(
            "ContrastiveDivergence: k_schedule needs pairs [fraction, sweeps], with fractions that "
            "rise from 0 to at most 1, whole sweeps ≥ 1, and the last of them equal to "
            f"k = {k}; found {pairs}"
        )
    return [(float(start), int(sweeps)) for start, sweeps in pairs]
