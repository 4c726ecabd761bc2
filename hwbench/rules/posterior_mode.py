"""Any rule with a prior on the parameters: the mode of their posterior in place of the maximum."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hwbench.build import make
from hwbench.protocols import PriorModel, Rule, TrainSplit


class PosteriorMode(Rule[PriorModel]):
    """Ascend the objective of another rule plus log p(θ) / N, with N training points.

    A rule's objective is a mean over points, so this is the mode of p(θ | data) for a rule that
    ascends the log-likelihood.

    Args:
        rule: the `use` block of that rule.
    """

    points: Tensor

    def __init__(self, rule: dict[str, Any]) -> None:
        super().__init__()
        self.rule: Rule = make("rule", rule)
        self.register_buffer("points", torch.ones(()))

    @classmethod
    def tiny(cls) -> PosteriorMode:
        """Return a rule around amortised learning."""
        return cls({"use": "kernel.AmortisedLearning", "samples": 64})

    def check(self, model: PriorModel) -> None:
        """Reject a model that the other rule cannot train.

        Raises:
            ValueError: the model has another protocol, or lacks something.
        """
        wanted, name = self.rule.trains(), type(model).__name__
        if not isinstance(model, wanted):
            inner = type(self.rule).__name__
            raise ValueError(f"{inner} needs a {wanted.__name__}; {name} is not one")
        self.rule.check(model)

    def begin(self, model: PriorModel, train: TrainSplit) -> None:
        """Store the number of points, and let the other rule prepare."""
        self.points = torch.full((), float(len(train)), device=self.points.device)
        self.rule.begin(model, train)

    def advance(self, fraction: float) -> None:
        """Tell the other rule."""
        self.rule.advance(fraction)

    def forward(self, model: PriorModel, x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Return the other rule's loss − log p(θ) / N, in nats."""
        loss: Tensor = self.rule(model, x)
        return loss - model.log_parameter_prior() / self.points
