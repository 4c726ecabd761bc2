"""Contrastive divergence as in the code of Srivastava: longer with time, with sparse units."""

# Dims: B points, D units below, H hidden units.

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.protocols import CountEnergyModel, EnergyModel, ScaledPair, Stack, TrainSplit
from hwbench.rules.pretraining import GreedyCD

EDGE = 1e-3  # smallest distance of a mean from 0 and 1 in the sparsity term
ROUNDING = 1e-9  # of fractions of a stage


class GrowingCD(GreedyCD):
    """CD for one pair of layers, with a number of sweeps that grows and a target for hidden means.

    This is the pretraining of Srivastava & Salakhutdinov (2012) in their released code (deepnet).
    After a fraction f of the stage's steps there are k sweeps up to f = `grow_after`, and later
    k + 1 + ⌊(f − grow_after) / grow_every⌋; the number is set at the start of a block of steps.

    With q a running mean of the hidden means, the sparsity term moves the total input of each
    hidden unit by −e,

        e = sparsity_cost (q − sparsity) / (q (1 − q)),

    which is sparsity_cost times the derivative of KL(sparsity ‖ q) with respect to q. Departing
    from the code, q in the denominator stays `EDGE` away from 0 and 1, since e is infinite for a
    unit that is never on.

    Args:
        layer: number of the layer that is learned; 1 is next to the data.
        k: sweeps per step at the start.
        grow_after: fraction of the stage with k sweeps.
        grow_every: fraction of the stage from one increase to the next; None leaves k as it is.
        weight_decay: coefficient of ½‖W‖².
        sparsity: target mean of the hidden units; None leaves out the term.
        sparsity_cost: strength of the sparsity term.
        sparsity_damping: share of the running mean that is kept at each step.
        precision: of the Gibbs sweeps, as in `pretraining.GreedyCD`.
    """

    activity: Tensor

    def __init__(
        self,
        layer: Annotated[int, Field(ge=1)] = 1,
        k: Annotated[int, Field(ge=1)] = 1,
        grow_after: Annotated[float, Field(ge=0, le=1)] = 0.0,
        grow_every: Annotated[float, Field(gt=0, le=1)] | None = None,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None,
        sparsity_cost: Annotated[float, Field(ge=0)] = 0.01,
        sparsity_damping: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__(layer, k, None, weight_decay, precision)
        self.k, self.grow_after, self.grow_every = k, grow_after, grow_every
        self.sparsity, self.cost, self.damping = sparsity, sparsity_cost, sparsity_damping
        self.register_buffer("activity", torch.zeros(0))

    @classmethod
    def tiny(cls) -> GrowingCD:
        """Return CD-1 that grows ten times, with weight decay and a sparsity target."""
        return cls(grow_every=0.1, weight_decay=0.01, sparsity=0.2, sparsity_cost=0.1)

    def check(self, model: Stack) -> None:
        """Reject what `GreedyCD` rejects, and hidden units whose input is not x W + c.

        Raises:
            ValueError: the rule cannot train this layer, or not with a sparsity target.
        """
        super().check(model)
        if self.sparsity is not None and not isinstance(model.pair(self.layer), ScaledPair):
            raise ValueError(
                f"{type(model).__name__}: layer {self.layer} has no single matrix of weights, "
                "which the sparsity term needs; leave out sparsity"
            )

    def begin(self, model: Stack, train: TrainSplit) -> None:
        """Start the running means of all layers at the target."""
        if self.sparsity is not None:
            units, device = sum(model.layers), train.values.device
            self.activity = torch.full((units,), self.sparsity, device=device)

    def advance(self, fraction: float) -> None:
        """Set the number of sweeps of the next block."""
        self.divergence.k = self.k
        past = fraction - self.grow_after
        if self.grow_every is not None and past > ROUNDING:
            self.divergence.k += 1 + int(past / self.grow_every + ROUNDING)

    def forward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return mean F(h) − mean F(h⁻) of the pair, plus the sparsity term."""
        below, pair = self._below(model, x), model.pair(self.layer)
        loss: Tensor = self.divergence(pair, below)
        return loss if self.sparsity is None else loss + self._term(model, pair, below)

    def backward(self, model: Stack, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Add the same gradient by the pair's `contrast`."""
        below, pair = self._below(model, x), model.pair(self.layer)
        loss = self.divergence.backward(pair, below)
        if self.sparsity is None:
            return loss
        term = self._term(model, pair, below)
        term.backward()  # type: ignore[no-untyped-call]
        return loss + term.detach()

    def _term(self, model: Stack, pair: EnergyModel, below: Tensor) -> Float[Tensor, ""]:
        """Return e · (mean input of the hidden units), with e held fixed."""
        assert isinstance(pair, ScaledPair)
        weight, _, bias = pair.couplings()
        x = below.to(weight.dtype)
        words = x.sum(1) if isinstance(pair, CountEnergyModel) else x.new_ones(len(x))
        with torch.no_grad():
            inputs = torch.addmm(torch.outer(words, bias), x, weight)
            excess = self._excess(model, (pair.scale_up * inputs).sigmoid_().mean(0))
        return excess @ (x.mean(0) @ weight + words.mean() * bias)

    def _excess(self, model: Stack, means: Float[Tensor, "h"]) -> Float[Tensor, "h"]:
        """Update the running means of the layer; return e."""
        assert self.sparsity is not None
        q = self.activity.split(model.layers)[self.layer - 1]
        q.lerp_(means.to(q), 1 - self.damping)
        bounded = q.clamp(EDGE, 1 - EDGE)
        return (self.cost * (q - self.sparsity) / (bounded * (1 - bounded))).to(means)
