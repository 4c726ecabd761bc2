"""Exact log-likelihoods, as computed by the model or by enumeration of binary latents.

Dims: K latent configurations, B points, N points in all, D observed units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.points import likelihood_metrics, points_of
from hwbench.numerics import generator
from hwbench.protocols import Density, Evaluation, Evaluator, HeldOut, HelmholtzMachine

Count = Annotated[int, Field(ge=1)]
ROWS = 4096  # configurations × points per pass
MOST_BITS = 24  # bits; 2^24 are 16 million configurations


def all_binary(units: int, start: int = 0, stop: int | None = None) -> Float[Tensor, "k d"]:
    """Return all vectors in {0, 1}^units, or numbers `start` to `stop` of them, in counting order.

    >>> all_binary(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    number = torch.arange(start, 2**units if stop is None else stop)
    return (number[:, None] >> torch.arange(units - 1, -1, -1) & 1).float()


def latent_configurations(
    sizes: Sequence[int], points: int, rows: int = ROWS
) -> Iterator[list[Tensor]]:
    """Yield all configurations of binary layers of these sizes, each layer [K, points, size]."""
    bits = sum(sizes)
    chunk = max(1, rows // points)
    for start in range(0, 2**bits, chunk):
        h = all_binary(bits, start, min(start + chunk, 2**bits))
        yield [part[:, None].expand(-1, points, -1) for part in h.split(list(sizes), dim=1)]


@torch.no_grad()
def exact_log_prob(
    model: HelmholtzMachine, x: Float[Tensor, "b d"], sizes: Sequence[int]
) -> Float[Tensor, " b"]:
    """Return log p(x) = log Σ_h p(x, h) over all binary h, in bounded memory and float64.

    Args:
        model: a model with binary latents.
        x: points.
        sizes: units of each latent layer, the one next to the data first.
    """
    total = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    for h in latent_configurations(sizes, len(x)):
        log_p = model.log_joint(x, [h_l.to(x) for h_l in h])
        total = torch.logaddexp(total, log_p.double().logsumexp(0))
    return total


def _over_points(
    log_prob: Callable[[Tensor], Tensor],
    split: HeldOut,
    batch: int,
    points: int | None,
    seed: int,
    progress: Callable[[float], None],
) -> Evaluation:
    split = points_of(split, points, seed)
    index = torch.arange(len(split), device=split.values.device)
    pixels = generator(seed, "evaluate", "pixels", device=index.device)
    parts = []
    for part in index.split(batch):
        parts.append(log_prob(split.batch(part, pixels)).double())
        progress((int(part[-1]) + 1) / len(split))
    log_px = torch.cat(parts).cpu().numpy()
    return Evaluation(
        likelihood_metrics(log_px, split, "exact"), {"log_px": log_px.astype(np.float32)}
    )


class ExactLogLikelihood(Evaluator[Density]):
    """The mean of a model's exact log p(x), with its standard error over points.

    Args:
        points: size of a random subset of the held-out points; all by default.
        batch: points per pass.
    """

    metrics = ("log_likelihood", "nll")

    def __init__(self, points: Count | None = None, batch: Count = 100) -> None:
        self.points = points
        self.batch = batch

    @torch.no_grad()
    def __call__(
        self,
        model: Density,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood` and `nll` in nats."""
        return _over_points(model.log_prob, points, self.batch, self.points, seed, progress)


class EnumeratedLogLikelihood(Evaluator[HelmholtzMachine]):
    """Exact log p(x) of a Helmholtz machine with few binary latents, by enumeration.

    Args:
        points: size of a random subset of the held-out points; all by default.
        batch: points per pass.
    """

    metrics = ("log_likelihood", "nll")

    def __init__(self, points: Count | None = None, batch: Count = 100) -> None:
        self.points = points
        self.batch = batch

    @torch.no_grad()
    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood` and `nll` in nats.

        Raises:
            ValueError: the model has no binary `layers`, or too many latents.
        """
        sizes: list[int] | None = getattr(model, "layers", None)
        if sizes is None:
            raise ValueError(f"{type(model).__name__} has no binary layers to enumerate")
        if sum(sizes) > MOST_BITS:
            raise ValueError(
                f"{sum(sizes)} latents cannot be enumerated (at most {MOST_BITS}); "
                "use importance.LogLikelihood"
            )
        return _over_points(
            lambda x: exact_log_prob(model, x, sizes),
            points,
            self.batch,
            self.points,
            seed,
            progress,
        )
