"""The naive estimate of log p(x), by samples from the prior."""

# Dims: K samples, B points of a group, N points in all, D observed units.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.importance import (
    K_CURVE,
    block_means,
    block_variance,
    in_chunks,
    variance_metric,
)
from hwbench.evaluators.points import evaluating, likelihood_metrics, points_of
from hwbench.numerics import effective_sample_size, generator, log_mean_exp, stream
from hwbench.protocols import Curve, Evaluation, Evaluator, HeldOut, HelmholtzMachine

Count = Annotated[int, Field(ge=1)]
CHUNK = 250  # samples, and points, per pass


class NaiveLogLikelihood(Evaluator[HelmholtzMachine]):
    """log p(x) ≈ log (1/K) Σ_k p(x | h_k),  h_k ~ p(h): a lower bound in expectation.

    It is importance sampling with the prior in place of q. All points share the K samples, so their
    errors are correlated. The Monte Carlo error refers to the mean over points and comes from
    `repeats` independent evaluations, whose average is reported (NaN for one).
    `estimator_variance` is the variance of a point's estimate from K / 10 samples, as in
    `LogLikelihood`.

    Args:
        k: samples.
        points: size of a random subset of the held-out points; all by default.
        repeats: independent evaluations.
    """

    metrics = ("log_likelihood", "nll", "estimator_variance")
    curves = ("k_curve",)

    def __init__(self, k: Count = 1000, points: Count | None = None, repeats: Count = 3) -> None:
        if k < 1 or repeats < 1:
            raise ValueError(f"NaiveLogLikelihood: expected k, repeats ≥ 1; found {k=}, {repeats=}")
        self.k, self.points, self.repeats = k, points, repeats
        self.curve = [n for n in K_CURVE if n < k] + [k]

    @classmethod
    def tiny(cls) -> NaiveLogLikelihood:
        """Return a small evaluation."""
        return cls(k=64)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the estimate as a mean over points, for each point, and for fewer samples.

        Raises:
            ValueError: the model does not provide log p(x | h).
        """
        if not hasattr(model, "log_likelihood"):
            raise ValueError(
                f"{type(model).__name__} has no log_likelihood(x, h): the naive estimate needs one"
            )
        split = points_of(points, self.points, seed)
        groups = torch.arange(len(split), device=split.values.device).split(CHUNK)
        runs, ess, variance, curve = [], [], [], []
        for r in range(self.repeats):
            parts = []
            for i, index in enumerate(groups):
                x = split.batch(
                    index, generator(seed, "evaluate", "pixels", i, device=index.device)
                )
                with evaluating(stream(seed, "evaluate", "naive", r), index.device):
                    log_w = self._log_weights(model, x)
                parts.append(log_mean_exp(log_w))
                if r == 0:
                    ess.append(effective_sample_size(log_w))
                    variance.append(block_variance(log_w))
                    curve.append(torch.stack([block_means(log_w, n) for n in self.curve], 1))
                progress((r * len(groups) + i + 1) / (self.repeats * len(groups)))
            runs.append(torch.cat(parts))
        return self._summary(
            torch.stack(runs).cpu(), torch.cat(ess), torch.cat(variance), torch.cat(curve), split
        )

    def _log_weights(self, model: HelmholtzMachine, x: Tensor) -> Float[Tensor, "k b"]:
        """Return log p(x | h_k); each group of points gets the same h_k from the random stream."""

        def draw(samples: int) -> Tensor:
            _, h = model.dream(samples)
            log_p: Tensor = model.log_likelihood(x, [h_l[:, None] for h_l in h])  # type: ignore[operator]
            return log_p

        return in_chunks(draw, self.k, CHUNK).double()

    def _summary(
        self, runs: Tensor, ess: Tensor, variance: Tensor, curve: Tensor, split: HeldOut
    ) -> Evaluation:
        log_px = runs.mean(0).numpy()
        mc_se = (
            runs.mean(1).std().item() / math.sqrt(self.repeats) if self.repeats > 1 else math.nan
        )
        return Evaluation(
            metrics={
                **likelihood_metrics(log_px, split, "lower bound", mc_se, self.k),
                **variance_metric(variance.cpu().numpy(), self.k),
            },
            per_point={"log_px": log_px.astype(np.float32)},
            curves={"k_curve": Curve([float(k) for k in self.curve], curve.mean(0).cpu().tolist())},
            diagnostics={"ess_mean": ess.mean().item(), "ess_min": ess.min().item()},
        )
