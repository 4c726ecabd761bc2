"""Helpers of evaluators: a choice of points, contexts without gradients, means as metrics."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from hwbench.numerics import stream
from hwbench.protocols import HeldOut, Metric

Kind = Literal["exact", "estimate", "lower bound", "upper bound", "score"]


@contextlib.contextmanager
def evaluating(seed: int, device: torch.device) -> Iterator[None]:
    """Disable gradients and seed torch's random stream for a block; restore the stream after it."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.inference_mode(),
    ):
        torch.manual_seed(seed)
        yield


def points_of(split: HeldOut, points: int | None, seed: int) -> HeldOut:
    """Return a random subset, the same for every method.

    It is never the first points, since some test files are sorted by class.
    """
    if points is None or points >= len(split):
        return split
    generator = torch.Generator().manual_seed(stream(seed, "evaluate", "points"))
    return split.subset(torch.randperm(len(split), generator=generator)[:points].sort().values)


def mean_metric(
    values: np.ndarray, kind: Kind, mc_se: float = math.nan, k: int = 0, sign: int = 1
) -> Metric:
    """Return `sign` × the mean over points, with its standard error (NaN for one point)."""
    n = len(values)
    se = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Metric(sign * float(values.mean()), se, mc_se, n, k, kind)


def likelihood_metrics(
    log_px: np.ndarray, split: HeldOut, kind: Kind, mc_se: float = math.nan, k: int = 0
) -> dict[str, Metric]:
    """Return the mean of log p(x) as `log_likelihood`, and its negative as `nll`, in nats.

    Args:
        log_px: log p(x) of each point.
        split: the points; if they are grey, both numbers are scores.
        kind: kind of `log_likelihood` otherwise; `nll` of a lower bound is an upper bound.
        mc_se: Monte Carlo error of the mean.
        k: samples per point.
    """
    opposite: Kind = "upper bound" if kind == "lower bound" else kind
    if is_grey(split):
        kind = opposite = "score"
    return {
        "log_likelihood": mean_metric(log_px, kind, mc_se, k),
        "nll": mean_metric(log_px, opposite, mc_se, k, sign=-1),
    }


def is_grey(split: HeldOut) -> bool:
    """Return whether pixels are between 0 and 1, so that Bernoulli formulas give no likelihood."""
    return split.scale != 1.0 and not split.resample
