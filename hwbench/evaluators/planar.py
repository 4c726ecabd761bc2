"""Mixtures in the plane: exact log-likelihoods, and points coloured by component."""

# Dims: B points, N points or draws, C components.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.points import evaluating, likelihood_metrics, points_of
from hwbench.numerics import stream
from hwbench.protocols import Evaluation, HeldOut, PlanarMixture, PlottingEvaluator

Count = Annotated[int, Field(ge=1)]
BATCH = 100  # points per pass of the quadrature
COARSE = 1e-3  # nats; a larger difference between n and n/2 nodes gives a warning


class PlanarLogLikelihood(PlottingEvaluator[PlanarMixture]):
    """log p(x) = log Σ_c p(x, c) by quadrature, and the components of points and of draws.

    The diagnostic `quadrature_step` is the change in nats if the number of nodes is halved. The
    cloud `points` has test points with their most probable components; `draws` has as many draws
    from the model with their components.

    Args:
        nodes: quadrature nodes for each continuous latent.
        points: size of a random subset of the held-out points; all by default.
        drawn: number of points in a cloud.
    """

    metrics = ("log_likelihood", "nll")
    clouds = ("points", "draws")

    def __init__(
        self,
        nodes: Annotated[int, Field(ge=4)] = 200,
        points: Count | None = None,
        drawn: Count = 300,
    ) -> None:
        self.nodes, self.points, self.drawn = nodes, points, drawn

    @classmethod
    def tiny(cls) -> PlanarLogLikelihood:
        """Return an evaluation with few nodes."""
        return cls(nodes=20, drawn=5)

    def __call__(
        self,
        model: PlanarMixture,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `log_likelihood` and `nll` in nats."""
        split = points_of(points, self.points, seed)
        index = torch.arange(len(split), device=split.values.device)
        fine, coarse = [], []
        with evaluating(stream(seed, "evaluate", "planar"), index.device):
            for part in index.split(BATCH):
                x = split.batch(part)
                fine.append(model.log_components(x, self.nodes))
                coarse.append(model.log_components(x, self.nodes // 2).logsumexp(1))
                progress((int(part[-1]) + 1) / len(split))
            draws = _cloud(*model.draw(min(self.drawn, len(split))))
        by_component = torch.cat(fine)
        log_px = by_component.logsumexp(1)
        step = abs(float(log_px.mean() - torch.cat(coarse).mean()))
        kept = index[: self.drawn]
        out = Evaluation(likelihood_metrics(log_px.cpu().numpy(), split, "exact"))
        out.per_point = {
            "log_px": log_px.cpu().numpy().astype(np.float32),
            "points": _cloud(split.batch(kept), by_component[kept].argmax(1)),
            "draws": draws,
        }
        out.diagnostics = {"quadrature_step": step}
        if step > COARSE:
            out.warnings.append(
                f"the log-likelihood moves by {step:.2g} nats from {self.nodes // 2} to "
                f"{self.nodes} nodes; give more nodes"
            )
        return out


def _cloud(x: Float[Tensor, "n d"], component: Integer[Tensor, "n"]) -> np.ndarray:
    """Return the first and the last unit of each point with its component: [N, 3]."""
    parts = [x[:, 0], x[:, -1], component.to(x)]
    return torch.stack(parts, 1).float().cpu().numpy()
