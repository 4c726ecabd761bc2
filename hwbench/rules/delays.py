"""Any rule for a series with an unknown delay, with a record of how the delay is found."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from hwbench.build import make
from hwbench.protocols import DelayModel, Rule, TrainSplit


class RecordedDelays(Rule[DelayModel]):
    """Train by another rule, and record the probabilities of the delays on the way.

    Row s of `DelayModel.path` [S, M] becomes what the probabilities are after a share
    (s + 1) / (S + 1) of the steps, to within one block of steps. Numbers, random numbers among
    them, are those of the other rule.

    Args:
        rule: the `use` block of that rule.
    """

    def __init__(self, rule: dict[str, Any]) -> None:
        super().__init__()
        self.rule: Rule = make("rule", rule)
        self.fraction = 0.0

    @classmethod
    def tiny(cls) -> RecordedDelays:
        """Return a rule around amortised learning."""
        return cls({"use": "kernel.AmortisedLearning", "samples": 64})

    def check(self, model: DelayModel) -> None:
        """Reject a model that the other rule cannot train.

        Raises:
            ValueError: the model has another protocol, or lacks something.
        """
        wanted, name = self.rule.trains(), type(model).__name__
        if not isinstance(model, wanted):
            inner = type(self.rule).__name__
            raise ValueError(f"{inner} needs a {wanted.__name__}; {name} is not one")
        self.rule.check(model)

    def begin(self, model: DelayModel, train: TrainSplit) -> None:
        """Let the other rule prepare."""
        self.rule.begin(model, train)

    def advance(self, fraction: float) -> None:
        """Remember the fraction of the steps done, and tell the other rule."""
        self.fraction = fraction
        self.rule.advance(fraction)

    def forward(self, model: DelayModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the other rule's loss, after the probabilities have been recorded."""
        # Rows ahead are written, too: a later step overwrites them, so no state needs to be kept.
        row = int(self.fraction * (len(model.path) + 1))
        model.path[row:] = model.delays()
        loss: Tensor = self.rule(model, x)
        return loss
