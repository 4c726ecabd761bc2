"""The number of latent units that a recognition model uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field

from hwbench.evaluators.points import evaluating, points_of
from hwbench.numerics import stream
from hwbench.protocols import Evaluation, Evaluator, HeldOut, HelmholtzMachine, Metric


class ActiveUnits(Evaluator[HelmholtzMachine]):
    """Number of active units per stochastic layer (Burda et al., 2016, section 5.2).

    A unit u is active if Var_x(E_q[u | x]) > `threshold` over the points. E_q[u | x] is estimated
    by an average over k samples. The variance of this average (the variance of u given x, over k)
    is subtracted, so a unit that does not depend on x is not counted.
    """

    metrics = ("active_units_[1-9]*", "active_units")

    def __init__(
        self,
        points: Annotated[int, Field(ge=2)] = 500,
        k: Annotated[int, Field(ge=2)] = 100,
        threshold: Annotated[float, Field(gt=0)] = 0.01,
    ) -> None:
        self.points = points
        self.k = k
        self.threshold = threshold

    @classmethod
    def tiny(cls) -> ActiveUnits:
        """Return a small evaluation."""
        return cls(points=20, k=8)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `active_units` over all layers, and `active_units_1`, … by layer.

        Layer 1 is next to the data.
        """
        split = points_of(points, self.points, seed)
        index = torch.arange(len(split), device=split.values.device)
        means: list[list[torch.Tensor]] = []
        noise: list[list[torch.Tensor]] = []
        with evaluating(stream(seed, "evaluate", "active"), index.device):
            for part in index.split(50):
                h, _ = model.infer(split.batch(part), self.k)
                means.append([z.double().mean(0) for z in h])
                noise.append([z.double().var(0) / self.k for z in h])
                progress((int(part[-1]) + 1) / len(index))
        out = Evaluation()
        total = 0
        for layer, (m, v) in enumerate(
            zip(zip(*means, strict=True), zip(*noise, strict=True), strict=True), start=1
        ):
            variance = torch.cat(m).var(0) - torch.cat(v).mean(0)
            active = int((variance > self.threshold).sum())
            total += active
            out.metrics[f"active_units_{layer}"] = Metric(float(active), n=len(split), k=self.k)
        out.metrics["active_units"] = Metric(float(total), n=len(split), k=self.k)
        return out
