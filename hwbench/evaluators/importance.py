"""Importance-sampled log-likelihood of latent-variable models, in bounded memory.

Dims: K samples, B points of a group, N points in all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.points import (
    Kind,
    evaluating,
    is_grey,
    likelihood_metrics,
    mean_metric,
    points_of,
)
from hwbench.numerics import effective_sample_size, log_mean_exp, pareto_k, stream
from hwbench.protocols import (
    Curve,
    Evaluation,
    Evaluator,
    HeldOut,
    HelmholtzMachine,
    Latents,
    Metric,
    Scratch,
)

Count = Annotated[int, Field(ge=1)]
ROWS = 4096  # samples × points drawn together; changing it changes every draw
PART = 1024  # samples × points scored together: what 784 units need fits into a core's cache
BLOCKS = 10  # blocks of samples, whose spread estimates the variance of an estimate
K_CURVE = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000, 25_000, 50_000, 100_000)


def in_chunks(draw: Callable[[int], Tensor], k: int, chunk: int) -> Float[Tensor, "k b"]:
    """Return the concatenation of draw(chunk), draw(chunk), …, with k rows in total."""
    return torch.cat([draw(min(chunk, k - start)) for start in range(0, k, chunk)])


def log_weights(
    model: HelmholtzMachine, x: Float[Tensor, "b d"], k: int, rows: int = ROWS
) -> Float[Tensor, "k b"]:
    """Return k log weights log p(x, h) − log q(h | x) per point, in chunks of about `rows`."""

    def draw(samples: int) -> Tensor:
        h, log_q = model.infer(x, samples)
        return _log_joint(model, x, h) - log_q

    return in_chunks(draw, k, max(1, min(k, rows // len(x))))


def _log_joint(model: HelmholtzMachine, x: Float[Tensor, "b d"], h: Latents) -> Tensor:
    """Return log p(x, h) [K, B], part by part unless gradients or random weights forbid it."""
    if torch.is_grad_enabled() or "generative" in getattr(model, "random", ()):
        return model.log_joint(x, h)
    parts = zip(*(layer.split(max(1, PART // len(x))) for layer in h), strict=True)
    return torch.cat([model.log_joint(x, list(part)) for part in parts])


def block_estimates(log_w: Float[Tensor, "k b"], size: int) -> Float[Tensor, "n b"]:
    """Return log (1/size) Σ w of disjoint blocks of `size` samples: independent estimates."""
    blocks = log_w.shape[0] // size
    return log_mean_exp(log_w[: blocks * size].view(blocks, size, -1), 1)


def block_means(log_w: Float[Tensor, "k b"], size: int) -> Float[Tensor, "b"]:
    """Return the average over disjoint blocks of `size` samples of log (1/size) Σ w.

    Samples beyond the last whole block are not used. In expectation the average rises with `size`
    (Burda et al., 2016, theorem 1). For any weights, it does not fall from a size to a multiple of
    it that divides K, because the blocks are then nested and log is concave.
    """
    return block_estimates(log_w, size).mean(0)


def block_variance(log_w: Float[Tensor, "k b"]) -> Float[Tensor, "b"]:
    """Return the variance of log p̂(x) from max(1, ⌊K / 10⌋) samples, over blocks; NaN for K = 1.

    Blocks vary like independent evaluations, so the estimate is unbiased and costs nothing extra.
    """
    k = log_w.shape[0]
    if k < 2:
        return torch.full_like(log_w[0], math.nan)
    return block_estimates(log_w, max(1, k // BLOCKS)).var(0)


def variance_metric(variance: np.ndarray, k: int) -> dict[str, Metric]:
    """Return the mean of `block_variance` over the points as `estimator_variance`, for K ≥ 2."""
    if k < 2:
        return {}
    return {"estimator_variance": mean_metric(variance, "estimate", k=max(1, k // BLOCKS))}


class LogLikelihood(Evaluator[HelmholtzMachine]):
    """log p(x) ≈ log (1/K) Σ_k p(x, h_k) / q(h_k | x), h_k ~ q.

    It is a lower bound in expectation, tight as K → ∞. The result contains the estimate of each
    point and, over points, the mean, its standard error, the Monte Carlo error, the K-curve, the
    ELBO and, if the model has `log_prior`, its split into reconstruction and KL. Diagnostics
    summarise the weights of the points: mean and smallest effective sample size, median Pareto k̂
    and the share above 0.7. `looseness` is log_likelihood − elbo, the gain of K samples over one.
    It is 0 if q is the posterior, and smaller for a flatter K-curve. `estimator_variance` is the
    variance of a point's estimate from K / 10 samples, over 10 blocks of them.

    The K-curve averages over blocks of one run's samples. It rises in expectation, and always from
    a number of samples to a multiple of it that divides k (`block_means`).

    The Monte Carlo error is the standard error over `repeats` evaluations. For one evaluation it is
    the delta method's √Σ_n (1/ESS_n − 1/K) / N. That is too small for weights with heavy tails, so
    it is NaN if more than a tenth of the sum comes from points with k̂ above 0.7 (or unknown, below
    25 samples). More `repeats` give the error in this case, too.

    Args:
        k: samples per point.
        points: size of a random subset of the held-out points; all by default.
        repeats: independent evaluations; their average is reported.
        mean_weights: also evaluate at the mean weights, if the model has random weights.
        curve: numbers of samples of the K-curve; a default list up to k.

    Raises:
        ValueError: `curve` does not increase or goes beyond k.
    """

    metrics = (
        "log_likelihood",
        "nll",
        "elbo",
        "looseness",
        "estimator_variance",
        "kl",
        "reconstruction",
        "log_likelihood_mean_weights",
    )
    curves = ("k_curve",)
    resumable = True

    def __init__(
        self,
        k: Count = 1000,
        points: Count | None = None,
        repeats: Count = 1,
        mean_weights: bool = True,
        curve: list[Count] | None = None,
    ) -> None:
        self.k = k
        self.points = points
        self.repeats = repeats
        self.mean_weights = mean_weights
        self.curve = [n for n in K_CURVE if n < k] + [k] if curve is None else curve
        if (
            any(b <= a for a, b in zip(self.curve, self.curve[1:], strict=False))
            or self.curve[-1] > k
        ):
            raise ValueError(f"curve must increase and end at most at k = {k} (found {self.curve})")

    @classmethod
    def tiny(cls) -> LogLikelihood:
        """Return a small evaluation."""
        return cls(k=64)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
        scratch: Scratch | None = None,
    ) -> Evaluation:
        """Evaluate group by group.

        Each group has its own random stream, so an interrupted run resumes exactly.
        """
        split = points_of(points, self.points, seed)
        n = len(split)
        random_weights = self.mean_weights and bool(getattr(model, "random", None))
        with_prior = hasattr(model, "log_prior")
        passes = self.repeats + random_weights
        columns = ["log_px", "elbo", "ess", "pareto_k", "variance", "kl"]
        table = np.full((passes, n, len(columns)), np.nan)
        done = (scratch.load("importance") if scratch else None) or {}
        if "table" in done and done["table"].shape != table.shape:
            done = {}  # The saved state has another format.
        table = done.get("table", table)
        curve = done.get("curve", np.zeros((n, len(self.curve))))
        at = int(done["at"]) if "at" in done else 0
        group = max(1, ROWS // self.k)
        starts = [(p, s) for p in range(passes) for s in range(0, n, group)]
        for i in range(at, len(starts)):
            p, start = starts[i]
            index = torch.arange(start, min(start + group, n), device=split.values.device)
            at_means = p == self.repeats
            context: Any = model.mean_weights() if at_means else contextlib.nullcontext()  # type: ignore[operator]
            with evaluating(stream(seed, "evaluate", 0, start), index.device), context:
                x = split.batch(index)  # Every pass uses the same draw of the pixels.
                if p > 0:
                    torch.manual_seed(stream(seed, "evaluate", "means" if at_means else p, start))
                log_w = log_weights(model, x, self.k)
                table[p, start : start + group] = self._columns(
                    model, x, log_w, with_prior and p == 0
                )
                if p == 0:
                    curve[start : start + group] = np.stack(
                        [block_means(log_w.double(), size).cpu().numpy() for size in self.curve], 1
                    )
            progress((i + 1) / len(starts))
            if scratch:
                scratch.save("importance", {"table": table, "curve": curve, "at": np.array(i + 1)})
        return self._summary(table, curve, columns, n, random_weights, with_prior, split)

    def _columns(
        self, model: HelmholtzMachine, x: Tensor, log_w: Tensor, with_prior: bool
    ) -> np.ndarray:
        kl = torch.full((len(x),), math.nan)
        if with_prior:
            h, log_q = model.infer(x, min(self.k, 64))
            kl = (log_q - model.log_prior(h)).mean(0)  # type: ignore[operator]
        wide = log_w.double()
        parts = [
            log_mean_exp(wide),
            wide.mean(0),
            effective_sample_size(wide),
            pareto_k(log_w),
            block_variance(wide),
            kl,
        ]
        return torch.stack([v.cpu().double() for v in parts], 1).numpy()

    def _summary(
        self,
        table: np.ndarray,
        curve: np.ndarray,
        columns: list[str],
        n: int,
        random: bool,
        prior: bool,
        split: HeldOut,
    ) -> Evaluation:
        runs = table[: self.repeats]
        at = columns.index
        log_px = runs[:, :, at("log_px")].mean(0)
        elbo, ess, k_hat = (runs[0, :, at(name)] for name in ("elbo", "ess", "pareto_k"))
        if self.repeats > 1:
            mc_se = float(runs[:, :, at("log_px")].mean(1).std(ddof=1) / math.sqrt(self.repeats))
        else:
            mc_se = self._delta_error(ess, k_hat)
        bound: Kind = "score" if is_grey(split) else "lower bound"
        estimate: Kind = "score" if is_grey(split) else "estimate"
        out = Evaluation(
            metrics={
                **likelihood_metrics(log_px, split, "lower bound", mc_se, self.k),
                "elbo": mean_metric(elbo, bound, k=1),
                "looseness": mean_metric(log_px - elbo, estimate, k=self.k),
                **variance_metric(runs[0, :, at("variance")], self.k),
            },
            per_point={"log_px": log_px.astype(np.float32)},
            curves={
                "k_curve": Curve(
                    [float(k) for k in self.curve],
                    curve.mean(0).tolist(),
                    (curve.std(0, ddof=1) / math.sqrt(n)).tolist() if n > 1 else [],
                )
            },
            diagnostics={"ess_mean": float(ess.mean()), "ess_min": float(ess.min())},
        )
        if prior:
            kl = runs[0, :, at("kl")]
            out.metrics["kl"] = mean_metric(kl, "estimate", k=1)
            out.metrics["reconstruction"] = mean_metric(elbo + kl, estimate, k=1)
        if np.isfinite(k_hat).any():
            bad = float((k_hat > 0.7).mean())
            out.diagnostics |= {
                "pareto_k_median": float(np.nanmedian(k_hat)),
                "pareto_k_above_0.7": bad,
            }
            if bad > 0.5:
                out.warnings.append(
                    f"the importance weights of {bad:.0%} of the points have Pareto k̂ > 0.7: "
                    f"the estimate at {self.k} samples is a loose lower bound"
                )
        if random:
            means = table[self.repeats, :, at("log_px")]
            out.metrics["log_likelihood_mean_weights"] = mean_metric(means, bound, k=self.k)
            out.per_point["log_px_mean_weights"] = means.astype(np.float32)
        return out

    def _delta_error(self, ess: np.ndarray, k_hat: np.ndarray) -> float:
        """Return the Monte Carlo error of the mean of one evaluation, or NaN if unreliable."""
        variance = np.clip(1 / ess - 1 / self.k, 0, None)
        unreliable = variance[~(k_hat <= 0.7)].sum()
        if unreliable > 0.1 * variance.sum():
            return math.nan
        return math.sqrt(float(variance.sum())) / len(ess)


class Bound(Evaluator[HelmholtzMachine]):
    """The k-sample importance-weighted bound alone, for validation curves and early stopping.

    Args:
        k: samples per point.
        points: size of a random subset; all by default.
    """

    metrics = ("log_likelihood",)

    def __init__(self, k: Count = 25, points: Count | None = None) -> None:
        self.k = k
        self.points = points

    @classmethod
    def tiny(cls) -> Bound:
        """Return a small evaluation."""
        return cls(k=8)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the mean bound over the points, in nats."""
        split = points_of(points, self.points, seed)
        group = max(1, ROWS // self.k)
        values = []
        for start in range(0, len(split), group):
            index = torch.arange(start, min(start + group, len(split)), device=split.values.device)
            with evaluating(stream(seed, "evaluate", start), index.device):
                values.append(log_mean_exp(log_weights(model, split.batch(index), self.k).double()))
            progress(min(1.0, (start + group) / len(split)))
        bound = torch.cat(values).cpu().numpy()
        metrics = likelihood_metrics(bound, split, "lower bound", k=self.k)
        return Evaluation(metrics={"log_likelihood": metrics["log_likelihood"]})
