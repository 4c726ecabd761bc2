"""The variational bound on the log-likelihood of a deep belief network."""

# Dims: M chains, K samples, B points, D observed units, S kept units.

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.ais import Annealing, Base, Count, Segment, base_rates
from hwbench.evaluators.points import evaluating
from hwbench.evaluators.rates import own_rates
from hwbench.numerics import stream
from hwbench.protocols import BeliefNetwork, Couplings, HeldOut


class SampledBound(Annealing[BeliefNetwork]):
    """log p(x) ≥ E_q[log p*(x, h) − log q(h | x)] − log Z, with h ~ q and log Z by AIS.

    Salakhutdinov & Murray (2008), section 4, all in float64. Log Z belongs to the top RBM, whose
    upper units are summed out. Log Ẑ is low in expectation, so the reported bound is high;
    `mc_se` is the delta method's σ̂ / Ẑ. It does not include the error of the K samples, which over
    N points is their standard deviation over √(K N). With one layer the model is an RBM and nothing
    is sampled; with base `data` the result equals that of `ais.AIS`.

    For diagnostics see `ais.Annealing`.

    Args:
        chains: number of annealing runs M.
        schedule: segments [from, to, steps] of β, as for `ais.AIS`.
        samples: K, samples of h for each point.
        reverse: also anneal from the model down to the base. This bounds log Z from above if the
            chains start from the model's distribution; they start `burn_in` Gibbs sweeps after h
            drawn for held-out points.
        burn_in: number of these sweeps, also for the chains that find the machine's own rates.
        base: the independent units where annealing starts. With `model` all have the top RBM's own
            rates (see `rates.own_rates`). With `data` the lower units have base rates, computed
            from an upward pass of the mean image, and the upper units are fair coins.
    """

    kind = "lower bound"

    def __init__(
        self,
        chains: Count = 100,
        schedule: list[Segment] | None = None,
        samples: Count = 10,
        reverse: bool = False,
        burn_in: Annotated[int, Field(ge=0)] = 1000,
        base: Literal["model", "data"] = "model",
    ) -> None:
        super().__init__(chains, schedule, reverse, burn_in)
        if samples < 1:
            raise ValueError(f"SampledBound: expected samples ≥ 1; found {samples=}")
        self.samples, self.base = samples, base

    @classmethod
    def tiny(cls) -> SampledBound:
        """Return a short schedule, enough for a handful of units."""
        return cls(chains=50, schedule=[[0, 1, 100]], reverse=True, burn_in=10)

    def path(self, model: BeliefNetwork) -> tuple[Couplings, Base]:
        """Keep the lower units of the top RBM."""
        couplings = model.pair(len(model.layers)).couplings()
        lower = base_rates(model.ascend(model.data_means[None], len(model.layers) - 1)[0])
        if self.base == "model":
            return couplings, Base(*own_rates(couplings, lower, self.burn_in))
        return couplings, Base(lower, torch.zeros_like(couplings.hidden_bias))

    def relaxed(self, model: BeliefNetwork, x: Float[Tensor, "m d"]) -> Float[Tensor, "m s"]:
        """Return h_{L−1} after the sweeps."""
        h, _ = model.infer(x, 1)
        return model.pair(len(model.layers)).gibbs(h[-1][0] if h else x, self.burn_in)

    def unnormalised(self, model: BeliefNetwork, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return the mean of log p*(x, h) − log q(h | x) over samples."""
        total = x.new_zeros(len(x))
        for _ in range(self.samples):  # Samples are drawn one by one, to bound memory.
            h, log_q = model.infer(x, 1)
            total += (model.log_joint(x, h) - log_q)[0]
        return total / self.samples

    def _log_px(self, model: BeliefNetwork, points: HeldOut, log_z: float, seed: int) -> np.ndarray:
        with evaluating(stream(seed, "evaluate", "latents"), points.values.device):
            return super()._log_px(model, points, log_z, seed)
