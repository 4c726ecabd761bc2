"""Annealed importance sampling of a partition function, and the log-likelihood that follows."""

# Dims: M chains, T temperatures, N points, D observed units, H hidden units.

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

from hwbench.evaluators.points import likelihood_metrics
from hwbench.numerics import effective_sample_size, generator, log_mean_exp, stream
from hwbench.protocols import Couplings, EnergyModel, Evaluation, Evaluator, HeldOut

Count = Annotated[int, Field(ge=1)]
Segment = list[int | float]
SCHEDULE: list[Segment] = [[0, 0.5, 500], [0.5, 0.9, 4000], [0.9, 1, 10_000]]
GROUP = 100  # chains annealed together: what keeps a core's cache and its matrix products busy
CHUNK = 1000  # points


def temperatures(schedule: list[Segment]) -> Float[Tensor, "t"]:
    """Return the inverse temperatures 0 = β_0 < … < β_T = 1 of segments [from, to, steps].

    Raises:
        ValueError: a segment has no steps or does not rise, or they do not lead from 0 to 1.

    >>> temperatures([[0, 0.5, 2], [0.5, 1, 1]]).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    good = (
        bool(schedule)
        and all(len(s) == 3 and s[0] < s[1] and s[2] == int(s[2]) >= 1 for s in schedule)
        and all(a[1] == b[0] for a, b in pairwise(schedule))
        and schedule[0][0] == 0
        and schedule[-1][1] == 1
    )
    if not good:
        raise ValueError(
            "AIS: the schedule of β must lead from 0 to 1 in adjoining segments [from, to, steps] "
            f"with from < to and at least one step; found {schedule}"
        )
    parts = [torch.linspace(a, b, int(n) + 1, dtype=torch.float64)[1:] for a, b, n in schedule]
    return torch.cat([torch.zeros(1, dtype=torch.float64), *parts])


def base_rates(data_means: Float[Tensor, "d"]) -> Float[Tensor, "d"]:
    """Return biases b^A = logit(p) of the base-rate model, p = (100 m + 5) / 105.

    That is 5 more points with the pixel on for every 100 (Salakhutdinov & Murray, 2008, and the
    code that came with it). A pixel that is always on would have p = 1, hence the cap at 0.999.
    """
    return ((100 * data_means + 5) / 105).clamp(max=0.999).logit()


@torch.no_grad()
def anneal(
    couplings: Couplings,
    base: Float[Tensor, "d"],
    betas: Float[Tensor, "t"],
    x: Float[Tensor, "m d"],
    generator: torch.Generator,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Float[Tensor, "m"]:
    """Return log w = Σ_k log p*_k(x_{k−1}) − log p*_{k−1}(x_{k−1}) of chains through `betas`.

        log p*_β(x) = (1 − β) b^A·x + β b·x + Σ_j softplus(β (c_j + x·W_j))

    The chains start at `x`, which must follow the distribution at the first β, and take one Gibbs
    sweep at each further one. Upwards from β = 0, E[w] = Z / Z_A; downwards from samples of the
    model, E[w] = Z_A / Z (Neal, 2001). The product x W serves both the weight and the sweep, and

        softplus(β a) − softplus(β' a) = −log(1 + p (exp(−(β − β') a) − 1)),   p = σ(β a)

    takes p from the sweep. Where the exponential is far from 1, rounding would spoil it.
    """
    weight, b, c = couplings
    weight_t = weight.t().contiguous()
    largest = (c.abs() + weight.abs().sum(0)).max().item()  # of any |c_j + x·W_j|
    x = x.clone()
    log_w, zero = x.new_zeros(len(x)), x.new_zeros(())
    a, p, u = (x.new_empty(len(x), len(c)) for _ in range(3))
    logits, v = torch.empty_like(x), torch.empty_like(x)
    path = betas.tolist()
    for k, (before, beta) in enumerate(pairwise(path)):
        step = beta - before
        torch.addmm(c, x, weight, out=a)
        torch.mul(a, beta, out=p).sigmoid_()
        if abs(step) * largest < 10:
            torch.mul(a, -step, out=u).exp_().sub_(1).mul_(p).add_(1).log_()
            log_w.sub_(u.sum(1))
        else:
            # F.softplus is linear above 20, which is 2e-9 off
            log_w.add_((torch.logaddexp(a * beta, zero) - torch.logaddexp(a * before, zero)).sum(1))
        log_w.add_(x @ (b - base), alpha=step)
        if k + 2 < len(path):  # no sweep after the last weight
            torch.lt(u.uniform_(generator=generator), p, out=u)
            torch.addmm(base.lerp(b, beta), u, weight_t, alpha=beta, out=logits)
            torch.lt(v.uniform_(generator=generator), logits.sigmoid_(), out=x)
        if k % 100 == 0:
            progress(k / len(path))
    return log_w


def interval(log_w: Float[Tensor, "m"], sigmas: float = 3.0) -> tuple[float, float]:
    """Return log(ŵ ± 3 σ̂) with ŵ the mean of w and σ̂ its standard error; never NaN.

    The lower end is −∞ where 3 σ̂ reaches ŵ; for one chain, where σ̂ is unknown, both are infinite.

    >>> interval(torch.zeros(5))
    (0.0, 0.0)
    """
    if len(log_w) < 2:
        return -math.inf, math.inf
    mean = log_mean_exp(log_w).item()
    spread = sigmas * _relative_error(log_w)
    low = mean + math.log1p(-spread) if spread < 1 else -math.inf
    return low, mean + math.log1p(spread)


def _relative_error(log_w: Tensor) -> float:
    """Return σ̂ / ŵ."""
    ratio = (log_w - log_mean_exp(log_w)).exp()  # w / ŵ, at most M
    return (ratio.std() / math.sqrt(len(ratio))).item()


class AIS(Evaluator[EnergyModel]):
    """log p(x) = −F(x) − log Z with log Z by annealed importance sampling, all in float64.

    Neal (2001); Salakhutdinov & Murray (2008), whose base-rate model, temperatures and 100 chains
    are the defaults. E[Ẑ] = Z, so log Ẑ is low in expectation and the log-likelihood high; `mc_se`
    is the delta method's σ̂ / Ẑ.

    Diagnostics: `log_z` with its 3σ interval `log_z_low`, `log_z_high`, the effective sample size
    of the weights `ess`, and the same from above, `log_z_reverse`, where asked for.

    Args:
        chains: number of annealing runs M.
        schedule: segments [from, to, steps] of β.
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
        reverse: bool = False,
        burn_in: Annotated[int, Field(ge=0)] = 1000,
    ) -> None:
        if chains < 1 or burn_in < 0:
            raise ValueError(f"AIS: expected chains ≥ 1, burn_in ≥ 0; found {chains=}, {burn_in=}")
        self.betas = temperatures(SCHEDULE if schedule is None else schedule)
        self.chains, self.reverse, self.burn_in = chains, reverse, burn_in

    @classmethod
    def tiny(cls) -> AIS:
        """Return a short schedule, enough for a handful of units."""
        return cls(chains=50, schedule=[[0, 1, 100]], reverse=True, burn_in=10)

    def __call__(
        self,
        model: EnergyModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the log-likelihood, also per point (`log_px`), and diagnostics of log Z."""
        device = points.values.device
        double = copy.deepcopy(model).double()
        base = base_rates(double.data_means)
        log_z_base = F.softplus(base).sum().item() + len(double.couplings().hidden_bias) * math.log(
            2
        )
        passes = 1 + self.reverse

        forward = self._log_w(
            double,
            base,
            generator(seed, "evaluate", "ais", device=device),
            lambda f: progress(f / passes),
        )
        log_z = log_z_base + log_mean_exp(forward).item()
        low, high = (log_z_base + end for end in interval(forward))
        ess = effective_sample_size(forward[:, None]).item()
        out = Evaluation(
            diagnostics={"log_z": log_z, "log_z_low": low, "log_z_high": high, "ess": ess}
        )
        if ess < max(2.0, self.chains / 10):
            out.warnings.append(
                f"the AIS weights have collapsed: effective sample size {ess:.1f} of {self.chains} "
                "chains; log Z is likely too low, log p(x) too high; use more temperatures"
            )
        if self.reverse:
            self._add_reverse(
                out, double, base, log_z_base, points, seed, lambda f: progress((1 + f) / 2)
            )

        log_px = self._log_px(double, points, log_z, seed)
        error = _relative_error(forward) if self.chains > 1 else math.nan
        out.metrics = likelihood_metrics(log_px, points, "estimate", error, self.chains)
        out.per_point["log_px"] = log_px.astype(np.float32)
        progress(1.0)
        return out

    def _log_w(
        self,
        model: EnergyModel,
        base: Tensor,
        g: torch.Generator,
        progress: Callable[[float], None],
    ) -> Tensor:
        parts: list[Tensor] = []

        def report(fraction: float) -> None:
            progress(min(1.0, (len(parts) + fraction) * GROUP / self.chains))

        for group in torch.arange(self.chains).split(GROUP):
            u = torch.rand(len(group), len(base), generator=g, dtype=base.dtype, device=base.device)
            x = (u < base.sigmoid()).to(base.dtype)
            parts.append(anneal(model.couplings(), base, self.betas, x, g, report))
        return torch.cat(parts)

    def _add_reverse(
        self,
        out: Evaluation,
        model: EnergyModel,
        base: Tensor,
        log_z_base: float,
        points: HeldOut,
        seed: int,
        progress: Callable[[float], None],
    ) -> None:
        g = generator(seed, "evaluate", "reverse ais", device=base.device)
        index = torch.randint(len(points), (self.chains,), generator=g, device=base.device)
        with torch.random.fork_rng(devices=[base.device] if base.is_cuda else []):
            torch.manual_seed(stream(seed, "evaluate", "burn in"))
            x = model.gibbs(points.batch(index, g).to(base.dtype).bernoulli(), self.burn_in)
        log_w = anneal(model.couplings(), base, self.betas.flip(0), x, g, progress)
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

    def _log_px(self, model: EnergyModel, points: HeldOut, log_z: float, seed: int) -> np.ndarray:
        device = points.values.device
        pixels = generator(seed, "evaluate", "pixels", device=device)
        parts = []
        with torch.no_grad():
            for index in torch.arange(len(points), device=device).split(CHUNK):
                parts.append(-model.free_energy(points.batch(index, pixels).double()) - log_z)
        return torch.cat(parts).cpu().numpy()
