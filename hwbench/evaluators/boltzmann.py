"""The variational bound on the log-likelihood of a deep Boltzmann machine."""

# Dims: M chains, B points, D observed units, S kept units.

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.ais import Annealing, Base, Count, Segment, base_rates
from hwbench.evaluators.rates import own_rates
from hwbench.protocols import Couplings, DeepBoltzmannMachine, Evaluation, HeldOut


class VariationalBound(Annealing[DeepBoltzmannMachine]):
    """log p(x) ≥ E_q[−E(x, h)] + H(q) − log Z, with q by mean field and log Z by AIS.

    Salakhutdinov & Hinton (2009), in float64 except for the draws. Annealing runs on the even or
    the odd layers, whichever have fewer units, and the others are summed out. The bound is exact
    except for log Z: log Ẑ is low in expectation, so the reported bound is high; `mc_se` is the
    delta method's σ̂ / Ẑ.

    The diagnostics are `log_z` with its 3σ interval `log_z_low`, `log_z_high`, the effective sample
    size of the weights `ess` and, if requested, the same for reverse annealing, `log_z_reverse`.

    Args:
        chains: number of annealing runs M.
        schedule: segments [from, to, steps] of β, as for `ais.AIS`.
        iterations: largest number of mean-field iterations.
        tolerance: end mean field once units move by less than this on average.
        reverse: also anneal from the model down to the base. This bounds log Z from above if the
            chains start from the model's distribution; they start `burn_in` Gibbs sweeps after
            held-out points.
        burn_in: number of these sweeps, also for the chains that find the machine's own rates.
        base: the independent units where annealing starts. With `model` all have the machine's own
            rates (see `rates.own_rates`). With `data` the observed units have the rates of the
            training data, and the others are fair coins. With `uniform` all are fair coins.
        draw: treat points as means of binary pixels and draw the pixels, by seed. This is for a
            machine that becomes a net: the net takes grey pixels, but the machine learns from
            draws.
    """

    kind = "lower bound"

    def __init__(
        self,
        chains: Count = 100,
        schedule: list[Segment] | None = None,
        iterations: Count = 50,
        tolerance: Annotated[float, Field(ge=0)] = 1e-7,
        reverse: bool = False,
        burn_in: Annotated[int, Field(ge=0)] = 1000,
        base: Literal["model", "data", "uniform"] = "model",
        draw: bool = False,
    ) -> None:
        super().__init__(chains, schedule, reverse, burn_in)
        if iterations < 1 or tolerance < 0:
            raise ValueError(
                "VariationalBound: expected iterations ≥ 1 and tolerance ≥ 0; found "
                f"{iterations=}, {tolerance=}"
            )
        self.iterations, self.tolerance, self.base, self.draw = iterations, tolerance, base, draw

    @classmethod
    def tiny(cls) -> VariationalBound:
        """Return a short schedule, enough for a handful of units."""
        return cls(chains=50, schedule=[[0, 1, 100]], reverse=True, burn_in=10)

    def __call__(
        self,
        model: DeepBoltzmannMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the bound, also per point (`log_px`), and diagnostics of log Z."""
        if self.draw:
            points = dataclasses.replace(points, resample=True)
        return super().__call__(model, points, seed=seed, progress=progress)

    def path(self, model: DeepBoltzmannMachine) -> tuple[Couplings, Base]:
        """Keep the side with fewer units."""
        weight, even, odd = model.couplings()
        rates = base_rates(model.data_means)
        of_even = torch.cat([rates, rates.new_zeros(len(even) - len(rates))])
        of_odd = torch.zeros_like(odd)
        if self.base == "uniform":
            of_even = torch.zeros_like(even)
        elif self.base == "model":
            couplings = Couplings(weight, even, odd)
            of_even, of_odd = own_rates(couplings, of_even, self.burn_in)
        if _keeps_odd(model):
            return Couplings(weight.t(), odd, even), Base(of_odd, of_even)
        return Couplings(weight, even, odd), Base(of_even, of_odd)

    def relaxed(self, model: DeepBoltzmannMachine, x: Float[Tensor, "m d"]) -> Float[Tensor, "m s"]:
        """Return the kept layers after the sweeps."""
        others = x.new_zeros(len(x), sum(model.layers[1::2]))
        even = model.gibbs(torch.cat([x, others], 1), self.burn_in)
        if not _keeps_odd(model):
            return even
        return torch.cat(model.complete(even)[1::2], 1).bernoulli()

    def unnormalised(
        self, model: DeepBoltzmannMachine, x: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b"]:
        """Return E_q[−E(x, h)] + H(q)."""
        return model.bound(x, model.mean_field(x, self.iterations, self.tolerance))


def _keeps_odd(model: DeepBoltzmannMachine) -> bool:
    return sum(model.layers[0::2]) < model.visible + sum(model.layers[1::2])
