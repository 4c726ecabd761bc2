"""Prediction of functions from a few of their values.

Dims: K samples, B functions, D places, T target places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch.distributions import Normal

from hwbench.evaluators.points import evaluating, mean_metric, points_of
from hwbench.numerics import log_mean_exp, stream
from hwbench.protocols import Evaluation, HeldOut, PlottingEvaluator, ProcessModel

Count = Annotated[int, Field(ge=1)]
SHOWN = 8  # predicted functions


class TargetLogLikelihood(PlottingEvaluator[ProcessModel]):
    """log p(y_T | y_C) ≈ log (1/K) Σ_k p(y_T | z_k), z_k ~ p(z | y_C), at random places.

    The estimate is a lower bound in expectation. Targets do not include the context. The values of
    one function and eight predictions of it from its context are kept.

    Args:
        k: number of samples K.
        context: number of context places C.
        extra: number of target places T.
        points: size of a random subset of the held-out functions; all by default.
    """

    metrics = ("target_log_likelihood",)
    lines = ("function", "predicted")

    def __init__(
        self, k: Count = 1000, context: Count = 4, extra: Count = 4, points: Count | None = None
    ) -> None:
        self.k, self.context, self.extra, self.points = k, context, extra, points

    @classmethod
    def tiny(cls) -> TargetLogLikelihood:
        """Return an evaluation with few samples."""
        return cls(k=10, context=2, extra=2)

    def refuse(self, model: ProcessModel, shape: tuple[int, ...]) -> None:
        """Reject functions with fewer places than context and targets need.

        Raises:
            ValueError: the message has both numbers.
        """
        if model.visible < self.context + self.extra:
            raise ValueError(
                f"{self.context} context and {self.extra} target places are "
                f"{self.context + self.extra}, and functions have {model.visible}"
            )

    def __call__(
        self,
        model: ProcessModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `target_log_likelihood`, in nats for all targets of a function together.

        Raises:
            ValueError: functions have fewer places than context and targets need.
        """
        if model.visible < self.context + self.extra:
            raise ValueError(
                f"TargetLogLikelihood: {self.context} context and {self.extra} target places are "
                f"{self.context + self.extra}, and functions have {model.visible}"
            )
        split = points_of(points, self.points, seed)
        device = split.values.device
        found = []
        with evaluating(stream(seed, "evaluate", "process"), device):
            for i in range(len(split)):
                y = split.batch(torch.tensor(i, device=device))
                drawn = torch.randperm(len(y), device=device)
                given, targets = drawn[: self.context], drawn[self.context :][: self.extra]
                mean, scale = model.latent(given, y[given])
                z = mean + scale * torch.randn(self.k, len(mean)).to(mean)
                log_p = Normal(*model.predict(z, targets)).log_prob(y[targets]).sum(1)
                found.append(float(log_mean_exp(log_p.double(), 0)))
                if i == 0:
                    shown = model.predict(z[:SHOWN], torch.arange(len(y), device=device))[0]
                    lines = {"function": y[None], "predicted": shown}
                if (i + 1) % 50 == 0 or i + 1 == len(split):
                    progress((i + 1) / len(split))
        log_p = np.array(found)
        out = Evaluation({"target_log_likelihood": mean_metric(log_p, "lower bound", k=self.k)})
        out.per_point = {"target_log_likelihood": log_p.astype(np.float32)}
        out.per_point |= {name: line.float().cpu().numpy() for name, line in lines.items()}
        return out
