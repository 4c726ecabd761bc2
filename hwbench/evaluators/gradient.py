"""Bias and spread of a gradient estimate from K samples.

Dims: K samples, B points, G gradient entries, R repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hwbench.evaluators.points import points_of
from hwbench.numerics import generator, stream
from hwbench.protocols import Curve, Evaluation, Evaluator, HeldOut, HelmholtzMachine, Metric

Count = Annotated[int, Field(ge=1)]
NETS = ("generative", "recognition")
ROWS = 4096  # samples × points per pass with gradients


def squared_norm(d: Float[Tensor, "r g"]) -> tuple[float, float]:
    """Return an unbiased estimate of ‖E d‖² from R draws of d, and its standard error.

    The estimate is the mean of d_r · d_s over r ≠ s, and its error is a jackknife over draws.
    ‖mean d‖² would include the noise.
    """
    r = len(d)
    products = (d @ d.T).double()
    off = products.sum() - products.diagonal().sum()
    value = off / (r * (r - 1))
    without = off - 2 * (products.sum(1) - products.diagonal())  # Each draw is left out in turn.
    without = without / ((r - 1) * (r - 2))
    se = ((r - 1) / r * (without - without.mean()).square().sum()).sqrt()
    return float(value), float(se)


def spread(g: Float[Tensor, "r g"]) -> tuple[float, float]:
    """Return √tr Cov g from R draws of g, and its standard error."""
    r = len(g)
    squares = (g - g.mean(0)).square().sum(1).double() * r / (r - 1)
    value = float(squares.mean().sqrt())
    return value, float(squares.std() / math.sqrt(r)) / max(2 * value, 1e-300)


class GradientBias(Evaluator[HelmholtzMachine]):
    """Bias and spread of the wake gradients of reweighted wake-sleep (Bornschein & Bengio, 2015).

        g_K = Σ_k w_k ∇ log p(x, h_k) and Σ_k w_k ∇ log q(h_k | x),   w normalised over K samples h
        ~ q, bias(K) = ‖E g_K − E g_ref‖,   spread(K) = √tr Cov g_K,

    for the mean over `points` points, with g_ref from `reference` samples. In each of `repeats`
    rounds, the g_K come from blocks of K of the reference's samples, so common noise cancels in the
    difference. The estimates of norms are corrected for noise. Asymptotically
    bias(K) = c (1/K − 1/reference).

    It keeps repeats × (number of k + 1) gradients in memory.

    Args:
        k: increasing numbers of samples; each divides `reference`.
        reference: number of samples of the reference.
        repeats: number of rounds, at least 3.
        points: number of random held-out points.

    Raises:
        ValueError: a count is too small, `k` does not increase, or one does not fit `reference`.
    """

    def __init__(
        self,
        k: list[Count] | None = None,
        reference: Count = 10_000,
        repeats: Annotated[int, Field(ge=3)] = 20,
        points: Count = 20,
    ) -> None:
        self.k = [1, 2, 5, 10, 100] if k is None else list(k)
        for name, count, least in (
            ("k", min(self.k, default=1), 1),
            ("reference", reference, 1),
            ("repeats", repeats, 3),
            ("points", points, 1),
        ):
            if count < least:
                raise ValueError(f"GradientBias: {name} must be at least {least} (found {count})")
        self.reference = reference
        self.repeats = repeats
        self.points = points
        behind = [f"_k{k}" for k in self.k] if len(self.k) > 1 else [""]
        self.curves = tuple(f"{name}_{net}" for net in NETS for name in ("bias", "spread"))
        self.metrics = tuple(f"{name}{k}" for name in self.curves for k in behind)
        self.metrics += tuple(f"norm_{net}" for net in NETS)
        if any(b <= a for a, b in zip(self.k, self.k[1:], strict=False)) or not self.k:
            raise ValueError(f"GradientBias: k must increase (found {self.k})")
        if any(reference % k or k >= reference for k in self.k):
            allowed = f"divide reference = {reference} and be less"
            raise ValueError(f"GradientBias: each k must {allowed} (found {self.k})")

    @classmethod
    def tiny(cls) -> GradientBias:
        """Return a small evaluation."""
        return cls(k=[1, 4], reference=16, repeats=4, points=3)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return curves `bias_generative`, `spread_generative` (and of `recognition`) over k.

        Metrics have the same names, followed by `_k5` and so on if there is more than one k. The
        metrics `norm_generative` and `norm_recognition` are the norms of the reference gradients.
        """
        split = points_of(points, self.points, seed)
        device = split.values.device
        pixels = generator(seed, "evaluate", "pixels", device=device)
        x = split.batch(torch.arange(len(split), device=device), pixels)
        sizes = [sum(p.numel() for p in self._parameters(model, net)) for net in NETS]
        draws = [torch.zeros(len(self.k) + 1, self.repeats, size, device=device) for size in sizes]
        devices = [device] if device.type == "cuda" else []
        for r in range(self.repeats):
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(stream(seed, "evaluate", r))
                for gradients in self._gradients(model, x):
                    for to, gradient in zip(draws, gradients, strict=True):
                        to[:, r] += gradient
            progress((r + 1) / self.repeats)
        out = Evaluation()
        for net, g in zip(NETS, draws, strict=True):
            self._summarise(out, net, g, len(x))
        return out

    @staticmethod
    def _parameters(model: HelmholtzMachine, net: str) -> list[nn.Parameter]:
        return [p for p in cast(nn.Module, getattr(model, net)).parameters() if p.requires_grad]

    def _gradients(
        self, model: HelmholtzMachine, x: Float[Tensor, "b d"]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield summands of both nets' gradients, with a row for each k and the reference."""
        group = max(1, ROWS // self.reference)
        parameters = [self._parameters(model, net) for net in NETS]
        flat = parameters[0] + parameters[1]
        for x_g in x.split(group):
            chunk = max(1, ROWS // len(x_g))
            with torch.no_grad():
                counts = [min(chunk, self.reference - s) for s in range(0, self.reference, chunk)]
                drawn = [model.infer(x_g, count) for count in counts]
                log_w = torch.cat([model.log_joint(x_g, h) - log_q for h, log_q in drawn])
            weights = torch.stack([self._weights(log_w, k) for k in [*self.k, self.reference]])
            for (h, _), w in zip(drawn, weights.split(counts, dim=1), strict=True):
                log_p, log_q = model.log_joint(x_g, h), model.log_q(h, x_g)
                rows = []
                for w_k in w / len(x):
                    found = torch.autograd.grad(
                        (w_k * (log_p + log_q)).sum(), flat, retain_graph=True, allow_unused=True
                    )
                    full = [
                        torch.zeros_like(p) if g is None else g
                        for p, g in zip(flat, found, strict=True)
                    ]
                    rows.append(torch.cat([g.flatten() for g in full]))
                yield torch.stack(rows).split(
                    [sum(p.numel() for p in ps) for ps in parameters], dim=1
                )

    @staticmethod
    def _weights(log_w: Float[Tensor, "k b"], size: int) -> Float[Tensor, "k b"]:
        """Return weights normalised within blocks of `size` samples, averaged over the blocks."""
        blocks = log_w.view(-1, size, log_w.shape[1])
        return blocks.softmax(1).view_as(log_w) / len(blocks)

    def _summarise(self, out: Evaluation, net: str, g: Float[Tensor, "k r g"], n: int) -> None:
        curves: dict[str, list[tuple[float, float]]] = {"bias": [], "spread": []}
        for g_k, k in zip(g, self.k, strict=False):
            square, se = squared_norm(g_k - g[-1])
            bias = math.sqrt(max(square, 0.0))
            curves["bias"].append((bias, se / (2 * bias) if bias else math.sqrt(se)))
            blocks = math.sqrt(self.reference // k)  # A draw averages reference // k blocks.
            value, se = spread(g_k)
            curves["spread"].append((value * blocks, se * blocks))
        for name, values in curves.items():
            y, errors = [v for v, _ in values], [e for _, e in values]
            out.curves[f"{name}_{net}"] = Curve([float(k) for k in self.k], y, errors)
            for k, value, se in zip(self.k, y, errors, strict=True):
                suffix = f"_k{k}" if len(self.k) > 1 else ""
                out.metrics[f"{name}_{net}{suffix}"] = Metric(value, mc_se=se, n=n, k=k)
        square, se = squared_norm(g[-1])
        norm = math.sqrt(max(square, 0.0))
        mc_se = se / (2 * norm) if norm else math.nan
        out.metrics[f"norm_{net}"] = Metric(norm, mc_se=mc_se, n=n, k=self.reference)
