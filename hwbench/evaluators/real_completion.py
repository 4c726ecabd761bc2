"""Completion of real-valued images: squared error of the half that a model does not see."""

# Dims: B points of a group, D observed units.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from hwbench.evaluators.points import evaluating, mean_metric, points_of
from hwbench.numerics import stream
from hwbench.protocols import Completer, Evaluation, Evaluator, Half, HeldOut, Size, half_of

Count = Annotated[int, Field(ge=1)]
GROUP = 100  # points at a time; a model may have several chains for each


class RealCompletion(Evaluator[Completer]):
    """`mse` = Σ_i (x_i − m_i)² / U over the U unseen units, for points of any real values.

    It is `completion.Completion` without what presupposes values from 0 to 1: no cross-entropy, and
    no images. Of standardised points, the training mean has an error near 1.

    Args:
        seen: the half of a point that the model sees.
        size: [height, width] of a point; a square by default.
        points: number of random points; all by default.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = ("mse",)

    def __init__(self, seen: Half = "left", size: Size = None, points: Count | None = None) -> None:
        self.seen, self.size, self.points = seen, size, points

    def __call__(
        self,
        model: Completer,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `mse`, also per point as `squared_error`.

        Raises:
            ValueError: the points have a different size.
        """
        split = points_of(points, self.points, seed)
        device = split.values.device
        seen = half_of(self.seen, split.visible, self.size).to(device)
        parts = []
        with evaluating(stream(seed, "evaluate", "completion"), device):
            for index in torch.arange(len(split), device=device).split(GROUP):
                x = split.batch(index)
                errors = (model.complete(x, seen) - x)[:, ~seen].double().square().mean(1)
                parts.append(errors.cpu().numpy())
                progress((int(index[-1]) + 1) / len(split))
        errors = np.concatenate(parts)
        return Evaluation(
            {"mse": mean_metric(errors, "estimate")},
            {"squared_error": errors.astype(np.float32)},
        )
