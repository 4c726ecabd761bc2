"""Log-likelihood of sequences, per frame."""

# Dims: K samples, B sequences of a group, N sequences in all, T frames.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from hwbench.evaluators.importance import ROWS
from hwbench.evaluators.points import (
    Kind,
    evaluating,
    is_grey,
    likelihood_metrics,
    mean_metric,
    points_of,
)
from hwbench.numerics import generator, log_mean_exp, stream
from hwbench.protocols import Density, Evaluation, Evaluator, HeldOut, SequenceModel

Count = Annotated[int, Field(ge=1)]


class FrameLogLikelihood(Evaluator[SequenceModel]):
    """(1/T) Σ_t log p(x_t | x_<t) with each term importance-sampled: log (1/K) Σ_k w_tk.

    It is in nats per frame, and a lower bound in expectation. It is tighter than with K samples of
    whole sequences, since the frames' latents are independent given x. For a model without latents
    it is exact.

    Args:
        k: samples per frame.
        points: size of a random subset of the held-out sequences; all by default.
    """

    metrics = ("log_likelihood", "nll", "elbo")

    def __init__(self, k: Count = 100, points: Count | None = None) -> None:
        if k < 1:
            raise ValueError(f"FrameLogLikelihood: expected k ≥ 1 samples, found {k}")
        self.k, self.points = k, points

    @classmethod
    def tiny(cls) -> FrameLogLikelihood:
        """Return a small evaluation."""
        return cls(k=8)

    def __call__(
        self,
        model: SequenceModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood`, its `nll` and the one-sample bound `elbo`, per frame."""
        split = points_of(points, self.points, seed)
        n = len(split)
        group = max(1, ROWS // (self.k * model.frames))
        estimates, bounds = [], []
        for start in range(0, n, group):
            index = torch.arange(start, min(start + group, n), device=split.values.device)
            pixels = generator(seed, "evaluate", "pixels", start, device=index.device)
            with evaluating(stream(seed, "evaluate", start), index.device):
                log_w = model.frame_log_weights(split.batch(index, pixels), self.k).double()
                estimates.append(log_mean_exp(log_w).mean(-1))
                bounds.append(log_w.mean((0, 2)))
            progress(min(1.0, (start + group) / n))
        exact = isinstance(model, Density)
        bound: Kind = "exact" if exact else "lower bound"
        log_px, elbo = (torch.cat(parts).cpu().numpy() for parts in (estimates, bounds))
        one_sample: Kind = "score" if is_grey(split) else bound
        return Evaluation(
            metrics={
                **likelihood_metrics(log_px, split, bound, k=0 if exact else self.k),
                "elbo": mean_metric(elbo, one_sample, k=0 if exact else 1),
            },
            per_point={"log_px": log_px.astype(np.float32)},
            diagnostics={"frames": float(model.frames)},
        )
