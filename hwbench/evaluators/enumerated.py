"""Exact log-likelihoods of small Boltzmann machines, by enumeration."""

# Dims: B points, D observed units, E units of the even layers (the observed ones first), O of the
# odd ones, K configurations.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.exact import MOST_BITS, all_binary
from hwbench.evaluators.points import evaluating, likelihood_metrics, points_of
from hwbench.numerics import stream
from hwbench.protocols import BoltzmannMachine, Couplings, Evaluation, Evaluator, HeldOut

ROWS = 2**16  # configurations, or configurations × points, per pass


def free_energy(couplings: Couplings, even: Float[Tensor, "*s e"]) -> Float[Tensor, "*s"]:
    """Return −log Σ_h exp(−E) for states of the even layers, with the odd layers h summed out."""
    weight, even_bias, odd_bias = couplings
    return -(even @ even_bias) - F.softplus(even @ weight + odd_bias).sum(-1)


def exact_log_z(couplings: Couplings) -> float:
    """Return log Z by enumerating the smaller side, with the other side summed out analytically.

    Raises:
        ValueError: the smaller side has too many units.
    """
    weight, even_bias, odd_bias = couplings
    if len(odd_bias) < len(even_bias):
        couplings = Couplings(weight.t(), odd_bias, even_bias)
    units = len(couplings.visible_bias)
    if units > MOST_BITS:
        raise ValueError(f"{units} units cannot be enumerated (at most {MOST_BITS}); use AIS")
    total = torch.tensor(-math.inf, dtype=torch.float64)
    for start in range(0, 2**units, ROWS):
        states = all_binary(units, start, min(start + ROWS, 2**units)).to(weight)
        total = torch.logaddexp(total, (-free_energy(couplings, states)).logsumexp(0).cpu())
    return float(total)


class EnumeratedBoltzmann(Evaluator[BoltzmannMachine]):
    """Exact log p(x) of a small RBM or deep Boltzmann machine, in float64.

    log Z enumerates the side with fewer units, and log p(x) + log Z enumerates the even hidden
    layers; the other units are summed out analytically.

    Args:
        points: size of a random subset of the held-out points; all by default.
    """

    metrics = ("log_likelihood", "nll")

    def __init__(self, points: Annotated[int, Field(ge=1)] | None = None) -> None:
        self.points = points

    def __call__(
        self,
        model: BoltzmannMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood` and `nll` in nats, `log_px`, and the diagnostic `log_z`.

        Raises:
            ValueError: there are too many units.
        """
        split = points_of(points, self.points, seed)
        index = torch.arange(len(split), device=split.values.device)
        parts = []
        with evaluating(stream(seed, "evaluate", "enumerated"), index.device):
            couplings = Couplings(*(part.double() for part in model.couplings()))
            log_z = exact_log_z(couplings)
            hidden = len(couplings.visible_bias) - split.visible
            if hidden > MOST_BITS:
                raise ValueError(f"{hidden} units cannot be enumerated (at most {MOST_BITS})")
            others = all_binary(hidden).to(couplings.weight)
            for part in index.split(max(1, ROWS // len(others))):
                x = split.batch(part).double()
                states = torch.cat(
                    [
                        x[:, None].expand(-1, len(others), -1),
                        others.expand(len(x), -1, -1),
                    ],
                    2,
                )
                parts.append((-free_energy(couplings, states)).logsumexp(1) - log_z)
                progress((int(part[-1]) + 1) / len(split))
        log_px = torch.cat(parts).cpu().numpy()
        return Evaluation(
            likelihood_metrics(log_px, split, "exact"),
            {"log_px": log_px.astype(np.float32)},
            diagnostics={"log_z": log_z},
        )
