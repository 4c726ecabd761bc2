"""The variational bound on the log-likelihood of a deep Boltzmann machine."""

# Dims: M chains, T temperatures, N points, D observed units, S units kept, J units summed out.

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.ais import (
    CHUNK,
    GROUP,
    SCHEDULE,
    Count,
    Segment,
    base_rates,
    interval,
    temperatures,
)
from hwbench.evaluators.points import likelihood_metrics
from hwbench.numerics import effective_sample_size, generator, log_mean_exp, stream
from hwbench.protocols import Couplings, DeepBoltzmannMachine, Evaluation, Evaluator, HeldOut


class Base:
    """Independent units on both sides, from which annealing starts.

    Attributes:
        kept: [S], their log odds.
        summed: [J], their log odds.
    """

    def __init__(self, kept: Float[Tensor, "s"], summed: Float[Tensor, "j"]) -> None:
        self.kept, self.summed = kept, summed

    @property
    def log_z(self) -> float:
        """Return log Z_A = Σ softplus(log odds)."""
        return F.softplus(torch.cat([self.kept, self.summed])).sum().item()

    def draw(self, n: int, g: torch.Generator) -> Float[Tensor, "n s"]:
        """Return n states of the kept units."""
        like = self.kept
        u = torch.rand(n, len(like), generator=g, dtype=like.dtype, device=like.device)
        return (u < like.sigmoid()).to(like.dtype)


@torch.no_grad()
def anneal(
    couplings: Couplings,
    base: Base,
    betas: Float[Tensor, "t"],
    kept: Float[Tensor, "m s"],
    g: torch.Generator,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Float[Tensor, "m"]:
    """Return log w = Σ_k log p*_k(s_{k−1}) − log p*_{k−1}(s_{k−1}) of chains through `betas`.

        log p*_β(s) = s·((1 − β) a + β b) + Σ_j softplus((1 − β) a_j + β (c_j + s·W_j))

    with a the log odds of the base. As `ais.anneal`, which is the case a_j = 0, with the kept units
    in the place of the visible ones.
    """
    weight, b, c = couplings
    weight_t, shift = weight.t().contiguous(), c - base.summed
    largest = (shift.abs() + weight.abs().sum(0)).max().item()  # of any |t_j|
    kept = kept.clone()
    log_w = kept.new_zeros(len(kept))
    t, p, u = (kept.new_empty(len(kept), len(c)) for _ in range(3))
    logits, v = torch.empty_like(kept), torch.empty_like(kept)
    path = betas.tolist()
    for k, (before, beta) in enumerate(pairwise(path)):
        step = beta - before
        torch.addmm(shift, kept, weight, out=t)
        torch.add(base.summed, t, alpha=beta, out=p).sigmoid_()
        if abs(step) * largest < 10:
            torch.mul(t, -step, out=u).exp_().sub_(1).mul_(p).add_(1).log_()
            log_w.sub_(u.sum(1))
        else:  # F.softplus is linear above 20, which is 2e-9 off
            here, there = (torch.add(base.summed, t, alpha=x) for x in (beta, before))
            zero = here.new_zeros(())
            log_w.add_((torch.logaddexp(here, zero) - torch.logaddexp(there, zero)).sum(1))
        log_w.add_(kept @ (b - base.kept), alpha=step)
        if k + 2 < len(path):  # no sweep after the last weight
            torch.lt(u.uniform_(generator=g), p, out=u)
            torch.addmm(base.kept.lerp(b, beta), u, weight_t, alpha=beta, out=logits)
            torch.lt(v.uniform_(generator=g), logits.sigmoid_(), out=kept)
        if k % 100 == 0:
            progress(k / len(path))
    return log_w


class VariationalBound(Evaluator[DeepBoltzmannMachine]):
    """log p(x) ≥ E_q[−E(x, h)] + H(q) − log Z, with q by mean field and log Z by AIS.

    Salakhutdinov & Hinton (2009), all in float64. Annealing runs on the even or the odd layers,
    whichever have fewer units, with the others summed out; at β = 0 the observed units have the
    base rates of the training data and the others are fair coins. The bound is exact but for
    log Z: log Ẑ is low in expectation, so the reported bound is high; `mc_se` is the delta method's
    σ̂ / Ẑ.

    Diagnostics: `log_z` with its 3σ interval `log_z_low`, `log_z_high`, the effective sample size
    of the weights `ess`, and the same from above, `log_z_reverse`, where asked for.

    Args:
        chains: number of annealing runs M.
        schedule: segments [from, to, steps] of β, as for `ais.AIS`.
        iterations: of mean field, at most.
        tolerance: stop them once units move by less than this on average.
        reverse: also anneal from the model down to the base, which bounds log Z from above if the
            chains start at the model's distribution; they start at held-out points, `burn_in` Gibbs
            sweeps before.
        burn_in: sweeps.
    """

    metrics = ("log_likelihood", "nll")

    def __init__(
        self,
        chains: Count = 100,
        schedule: list[Segment] | None = None,
        iterations: Count = 50,
        tolerance: Annotated[float, Field(ge=0)] = 1e-7,
        reverse: bool = False,
        burn_in: Annotated[int, Field(ge=0)] = 1000,
    ) -> None:
        if min(chains, iterations) < 1 or min(burn_in, tolerance) < 0:
            raise ValueError(
                "VariationalBound: expected chains, iterations ≥ 1 and burn_in, tolerance ≥ 0; "
                f"found {chains=}, {iterations=}, {burn_in=}, {tolerance=}"
            )
        self.betas = temperatures(SCHEDULE if schedule is None else schedule)
        self.chains, self.reverse, self.burn_in = chains, reverse, burn_in
        self.iterations, self.tolerance = iterations, tolerance

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
        """Return the bound as log-likelihood, also per point (`log_px`); diagnostics of log Z."""
        device = points.values.device
        double = copy.deepcopy(model).double()
        weight, even, odd = double.couplings()
        rates = base_rates(double.data_means)
        even_base = torch.cat([rates, rates.new_zeros(len(even) - len(rates))])
        couplings, base = Couplings(weight, even, odd), Base(even_base, torch.zeros_like(odd))
        keep_odd = len(odd) < len(even)
        if keep_odd:
            couplings, base = Couplings(weight.t(), odd, even), Base(base.summed, base.kept)

        g = generator(seed, "evaluate", "ais", device=device)
        passes = 1 + self.reverse
        parts: list[Tensor] = []
        for group in torch.arange(self.chains).split(GROUP):
            done = len(parts) * GROUP / self.chains

            def report(f: float, done: float = done, share: float = len(group)) -> None:
                progress((done + f * share / self.chains) / passes)

            start = base.draw(len(group), g)
            parts.append(anneal(couplings, base, self.betas, start, g, report))
        log_w = torch.cat(parts)
        log_z = base.log_z + log_mean_exp(log_w).item()
        low, high = (base.log_z + end for end in interval(log_w))
        ess = effective_sample_size(log_w[:, None]).item()
        out = Evaluation(
            diagnostics={"log_z": log_z, "log_z_low": low, "log_z_high": high, "ess": ess}
        )
        if ess < max(2.0, self.chains / 10):
            out.warnings.append(
                f"the AIS weights have collapsed: effective sample size {ess:.1f} of {self.chains} "
                "chains; log Z is likely too low, the bound too high; use more temperatures"
            )
        if self.reverse:
            start = self._model_states(double, points, seed, keep_odd)
            back = anneal(
                couplings, base, self.betas.flip(0), start, g, lambda f: progress((1 + f) / 2)
            )
            self._add_reverse(out, base.log_z, back)

        log_px = self._log_px(double, points, log_z, seed)
        error = math.expm1(interval(log_w, 1.0)[1] - log_mean_exp(log_w).item())
        if self.chains == 1:
            error = math.nan
        out.metrics = likelihood_metrics(log_px, points, "lower bound", error, self.chains)
        out.per_point["log_px"] = log_px.astype(np.float32)
        progress(1.0)
        return out

    def _model_states(
        self, model: DeepBoltzmannMachine, points: HeldOut, seed: int, keep_odd: bool
    ) -> Tensor:
        device = points.values.device
        g = generator(seed, "evaluate", "reverse ais", device=device)
        index = torch.randint(len(points), (self.chains,), generator=g, device=device)
        x = points.batch(index, g).double()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(stream(seed, "evaluate", "burn in"))
            others = x.new_zeros(len(x), sum(model.layers[1::2]))
            even = model.gibbs(torch.cat([x.bernoulli(), others], 1), self.burn_in)
            return torch.cat(model.complete(even)[1::2], 1).bernoulli() if keep_odd else even

    @staticmethod
    def _add_reverse(out: Evaluation, log_z_base: float, log_w: Tensor) -> None:
        low, high = interval(log_w)
        log_z = log_z_base - log_mean_exp(log_w).item()
        out.diagnostics["log_z_reverse"] = log_z
        out.diagnostics["log_z_reverse_low"] = log_z_base - high
        out.diagnostics["log_z_reverse_high"] = log_z_base - low
        out.diagnostics["ess_reverse"] = effective_sample_size(log_w[:, None]).item()
        gap = log_z - out.diagnostics["log_z"]
        if abs(gap) > 1 and log_z_base - high > out.diagnostics["log_z_high"]:
            out.warnings.append(
                f"AIS upwards and downwards disagree by {gap:.1f} nats in log Z, beyond their 3σ "
                "intervals; use more temperatures, or a longer burn-in"
            )

    def _log_px(
        self, model: DeepBoltzmannMachine, points: HeldOut, log_z: float, seed: int
    ) -> np.ndarray:
        device = points.values.device
        pixels = generator(seed, "evaluate", "pixels", device=device)
        parts = []
        with torch.no_grad():
            for index in torch.arange(len(points), device=device).split(CHUNK):
                x = points.batch(index, pixels).double()
                means = model.mean_field(x, self.iterations, self.tolerance)
                parts.append(model.bound(x, means) - log_z)
        return torch.cat(parts).cpu().numpy()
