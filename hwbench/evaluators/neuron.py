"""How near the parameters of a membrane are to those that generated the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field

from hwbench.evaluators.points import evaluating
from hwbench.membrane import TRUE
from hwbench.numerics import effective_sample_size, stream
from hwbench.protocols import Evaluation, HeldOut, MembraneModel, Metric, PlottingEvaluator

Count = Annotated[int, Field(ge=1)]
SHOWN = 3  # simulated series


class ParameterError(PlottingEvaluator[MembraneModel]):
    """Relative errors |θ − θ*| / |θ*| of ten parameters, and their mean.

    `prior_ess` is the effective sample size of samples from the prior, weighted by the likelihood.
    A few simulated series are kept beside the data.

    Args:
        samples: number of samples from the prior, for `prior_ess`.
    """

    metrics = ("parameter_error", "prior_ess", *(f"error_{name}" for name in TRUE._fields))
    lines = ("data", "simulated")
    better = "lower"

    def __init__(self, samples: Count = 1000) -> None:
        self.samples = samples

    @classmethod
    def tiny(cls) -> ParameterError:
        """Return an evaluation with few samples."""
        return cls(samples=20)

    def __call__(
        self,
        model: MembraneModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, which are scores."""
        device = points.values.device
        x = points.batch(torch.arange(len(points), device=device))
        own = model.parameters_of_membrane()
        errors = {k: abs(own[k] - true) / abs(true) for k, true in TRUE._asdict().items()}
        with evaluating(stream(seed, "evaluate", "neuron"), device):
            simulated, h = model.dream(self.samples)
            log_w = model.log_likelihood(x, [h_l[:, None] for h_l in h])
            ess = effective_sample_size(log_w.double()).mean()
        progress(1.0)
        values = {"parameter_error": sum(errors.values()) / len(errors), "prior_ess": float(ess)}
        values |= {f"error_{name}": error for name, error in errors.items()}
        out = Evaluation({k: Metric(v, n=len(points), kind="score") for k, v in values.items()})
        lines = {"data": x[:1], "simulated": simulated[:SHOWN]}
        out.per_point = {name: line.float().cpu().numpy() for name, line in lines.items()}
        return out
