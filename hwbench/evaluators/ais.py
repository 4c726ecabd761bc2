"""Annealed importance sampling of a partition function, and the resulting log-likelihood."""

# Dims: M chains, T temperatures, N points, D observed units, S kept units, J units summed out.

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.evaluators.points import Kind, likelihood_metrics
from hwbench.numerics import effective_sample_size, generator, log_mean_exp, stream
from hwbench.protocols import Couplings, EnergyModel, Evaluation, Evaluator, HeldOut, Model

M = TypeVar("M", bound=Model)
Count = Annotated[int, Field(ge=1)]
Segment = list[int | float]
SCHEDULE: list[Segment] = [[0, 0.5, 500], [0.5, 0.9, 4000], [0.9, 1, 10_000]]
GROUP = 100  # chains annealed together, which suits a core's cache and matrix products
CHUNK = 1000  # points


def temperatures(schedule: list[Segment]) -> Float[Tensor, "t"]:
    """Return the inverse temperatures 0 = β_0 < … < β_T = 1 of segments [from, to, steps].

    Raises:
        ValueError: a segment has no steps or does not rise, or the schedule does not lead from 0
            to 1.

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

    This adds 5 points with the pixel on for every 100 (Salakhutdinov & Murray, 2008, and their
    code). A pixel that is always on would have p = 1, hence the cap at 0.999.
    """
    return ((100 * data_means + 5) / 105).clamp(max=0.999).logit()


class Base:
    """Independent units on both sides, where annealing starts.

    Attributes:
        kept: [S], log odds of the kept units.
        summed: [J], log odds of the units summed out.
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

    with a the log odds of the base, s the kept units (the visible units of an RBM) and j the units
    summed out. The chains start at `kept`, which must follow the distribution at the first β, and
    take one Gibbs sweep at each further β. Upwards from β = 0, E[w] = Z / Z_A; downwards from
    samples of the model, E[w] = Z_A / Z (Neal, 2001). One product serves both the weight and the
    sweep: with t = c − a + s W,

        softplus(a + β t) − softplus(a + β' t) = −log(1 + p (exp(−(β − β') t) − 1))

    takes p = σ(a + β t) from the sweep. This is used only where the exponential is close enough to
    1 for rounding to be harmless.

    Weights have the precision of `kept`. Draws are in single precision, which gives probabilities
    to seven digits in a quarter less time.
    """
    weight, b, c = couplings
    shift = c - base.summed
    down, first, last = (p.float() for p in (weight.t().contiguous(), base.kept, b))
    largest = (shift.abs() + weight.abs().sum(0)).max().item()  # a bound on every |t_j|
    kept = kept.clone()
    log_w = kept.new_zeros(len(kept))
    t, p, r = (kept.new_empty(len(kept), len(c)) for _ in range(3))
    h, u = (torch.empty_like(p, dtype=torch.float32) for _ in range(2))
    logits, v = (torch.empty_like(kept, dtype=torch.float32) for _ in range(2))
    path = betas.tolist()
    for k, (before, beta) in enumerate(pairwise(path)):
        step = beta - before
        torch.addmm(shift, kept, weight, out=t)
        torch.add(base.summed, t, alpha=beta, out=p).sigmoid_()
        if abs(step) * largest < 10:
            torch.mul(t, -step, out=r).exp_().sub_(1).mul_(p).add_(1).log_()
            log_w.sub_(r.sum(1))
        else:  # F.softplus is linear above 20, with an error of 2e-9, so logaddexp is used.
            here, there = (torch.add(base.summed, t, alpha=x) for x in (beta, before))
            zero = here.new_zeros(())
            log_w.add_((torch.logaddexp(here, zero) - torch.logaddexp(there, zero)).sum(1))
        log_w.add_(kept @ (b - base.kept), alpha=step)
        if k + 2 < len(path):  # The last weight needs no sweep after it.
            torch.lt(u.uniform_(generator=g), h.copy_(p), out=h)
            torch.addmm(first.lerp(last, beta), h, down, alpha=beta, out=logits)
            kept.copy_(torch.lt(v.uniform_(generator=g), logits.sigmoid_(), out=v))
        if k % 100 == 0:
            progress(k / len(path))
    return log_w


def interval(log_w: Float[Tensor, "m"], sigmas: float = 3.0) -> tuple[float, float]:
    """Return log(ŵ ± 3 σ̂) with ŵ the mean of w and σ̂ its standard error; never NaN.

    The lower end is −∞ if 3 σ̂ ≥ ŵ. Both ends are infinite if σ̂ is unknown: for a single chain, if
    no weight is above zero, or if a weight is not finite.

    >>> interval(torch.zeros(5))
    (0.0, 0.0)
    """
    if len(log_w) < 2:
        return -math.inf, math.inf
    mean = log_mean_exp(log_w).item()
    spread = sigmas * _relative_error(log_w)
    if not math.isfinite(mean + spread):
        return -math.inf, math.inf
    low = mean + math.log1p(-spread) if spread < 1 else -math.inf
    return low, mean + math.log1p(spread)


def _relative_error(log_w: Tensor) -> float:
    """Return σ̂ / ŵ."""
    ratio = (log_w - log_mean_exp(log_w)).exp()  # w / ŵ, at most M
    return (ratio.std() / math.sqrt(len(ratio))).item()


class Annealing(Evaluator[M]):
    """Common base of evaluators that estimate log Z by annealed importance sampling, in float64.

    E[Ẑ] = Z, so log Ẑ is low in expectation and log p(x) high; `mc_se` is the delta method's σ̂ / Ẑ.

    The diagnostics are `log_z` with its 3σ interval `log_z_low`, `log_z_high`, the effective sample
    size of the weights `ess` and, if requested, the same for reverse annealing, `log_z_reverse`.
    """

    metrics = ("log_likelihood", "nll")
    kind: Kind = "estimate"

    def __init__(
        self, chains: int, schedule: list[Segment] | None, reverse: bool, burn_in: int
    ) -> None:
        if chains < 1 or burn_in < 0:
            name = type(self).__name__
            raise ValueError(
                f"{name}: expected chains ≥ 1, burn_in ≥ 0; found {chains=}, {burn_in=}"
            )
        self.betas = temperatures(SCHEDULE if schedule is None else schedule)
        self.chains, self.reverse, self.burn_in = chains, reverse, burn_in

    @abstractmethod
    def path(self, model: M) -> tuple[Couplings, Base]:
        """Return the couplings between kept and summed-out units, and the base of both."""

    @abstractmethod
    def relaxed(self, model: M, x: Float[Tensor, "m d"]) -> Float[Tensor, "m s"]:
        """Return the kept units after `burn_in` sweeps from the points x."""

    @abstractmethod
    def unnormalised(self, model: M, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return log p(x) + log Z, or a lower bound on it."""

    def __call__(
        self,
        model: M,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the log-likelihood, also per point (`log_px`), and diagnostics of log Z."""
        device = points.values.device
        double = copy.deepcopy(model).double()
        couplings, base = self.path(double)
        passes = 1 + self.reverse

        forward = self._log_w(
            couplings,
            base,
            generator(seed, "evaluate", "ais", device=device),
            lambda f: progress(f / passes),
        )
        log_z = base.log_z + log_mean_exp(forward).item()
        low, high = (base.log_z + end for end in interval(forward))
        ess = effective_sample_size(forward[:, None]).item()
        out = Evaluation(
            diagnostics={"log_z": log_z, "log_z_low": low, "log_z_high": high, "ess": ess}
        )
        if not (ess >= max(2.0, self.chains / 10) and low > -math.inf):
            out.warnings.append(
                f"the AIS weights have collapsed: effective sample size {ess:.1f} of {self.chains} "
                "chains; log Z is likely too low, log p(x) too high; use more temperatures"
            )
        if self.reverse:
            self._add_reverse(
                out, double, couplings, base, points, seed, lambda f: progress((1 + f) / 2)
            )

        log_px = self._log_px(double, points, log_z, seed)
        error = _relative_error(forward) if self.chains > 1 else math.nan
        out.metrics = likelihood_metrics(log_px, points, self.kind, error, self.chains)
        out.per_point["log_px"] = log_px.astype(np.float32)
        progress(1.0)
        return out

    def _log_w(
        self,
        couplings: Couplings,
        base: Base,
        g: torch.Generator,
        progress: Callable[[float], None],
    ) -> Tensor:
        parts: list[Tensor] = []

        def report(fraction: float) -> None:
            progress(min(1.0, (len(parts) + fraction) * GROUP / self.chains))

        for group in torch.arange(self.chains).split(GROUP):
            kept = base.draw(len(group), g)
            parts.append(anneal(couplings, base, self.betas, kept, g, report))
        return torch.cat(parts)

    def _add_reverse(
        self,
        out: Evaluation,
        model: M,
        couplings: Couplings,
        base: Base,
        points: HeldOut,
        seed: int,
        progress: Callable[[float], None],
    ) -> None:
        device = base.kept.device
        g = generator(seed, "evaluate", "reverse ais", device=device)
        index = torch.randint(len(points), (self.chains,), generator=g, device=device)
        with torch.random.fork_rng(devices=[device] if base.kept.is_cuda else []):
            torch.manual_seed(stream(seed, "evaluate", "burn in"))
            kept = self.relaxed(model, points.batch(index, g).to(base.kept.dtype).bernoulli())
        log_w = anneal(couplings, base, self.betas.flip(0), kept, g, progress)
        low, high = interval(log_w)
        log_z = base.log_z - log_mean_exp(log_w).item()
        out.diagnostics["log_z_reverse"] = log_z
        out.diagnostics["log_z_reverse_low"] = base.log_z - high
        out.diagnostics["log_z_reverse_high"] = base.log_z - low
        ess = effective_sample_size(log_w[:, None]).item()
        out.diagnostics["ess_reverse"] = ess
        if not (ess >= max(2.0, self.chains / 10) and low > -math.inf):
            out.warnings.append(
                "the weights of annealing downwards have collapsed: effective sample size "
                f"{ess:.1f} of {self.chains} chains; its log Z is likely too high; use more "
                "temperatures"
            )
        gap = log_z - out.diagnostics["log_z"]
        if base.log_z - low < out.diagnostics["log_z_low"]:
            out.warnings.append(
                f"AIS downwards has a log Z {-gap:.1f} nats below that upwards, beyond their 3σ "
                "intervals: its chains did not start from the model; use a longer burn-in"
            )
        if abs(gap) > 1 and base.log_z - high > out.diagnostics["log_z_high"]:
            out.warnings.append(
                f"AIS upwards and downwards disagree by {gap:.1f} nats in log Z, beyond their 3σ "
                "intervals; use more temperatures, or a longer burn-in"
            )

    def _log_px(self, model: M, points: HeldOut, log_z: float, seed: int) -> np.ndarray:
        device = points.values.device
        pixels = generator(seed, "evaluate", "pixels", device=device)
        parts = []
        with torch.no_grad():
            for index in torch.arange(len(points), device=device).split(CHUNK):
                x = points.batch(index, pixels).double()
                parts.append(self.unnormalised(model, x) - log_z)
        return torch.cat(parts).cpu().numpy()


class AIS(Annealing[EnergyModel]):
    """log p(x) = −F(x) − log Z with log Z by annealed importance sampling, all in float64.

    Neal (2001); Salakhutdinov & Murray (2008), whose base-rate model, temperatures and 100 chains
    are the defaults. For diagnostics see `Annealing`.

    Args:
        chains: number of annealing runs M.
        schedule: segments [from, to, steps] of β.
        reverse: also anneal from the model down to the base. This bounds log Z from above if the
            chains start from the model's distribution; they start `burn_in` Gibbs sweeps after
            held-out points.
        burn_in: number of these sweeps.
    """

    def __init__(
        self,
        chains: Count = 100,
        schedule: list[Segment] | None = None,
        reverse: bool = False,
        burn_in: Annotated[int, Field(ge=0)] = 1000,
    ) -> None:
        super().__init__(chains, schedule, reverse, burn_in)

    @classmethod
    def tiny(cls) -> AIS:
        """Return a short schedule, enough for a handful of units."""
        return cls(chains=50, schedule=[[0, 1, 100]], reverse=True, burn_in=10)

    def path(self, model: EnergyModel) -> tuple[Couplings, Base]:
        """Keep the observed units, with base rates; hidden units are fair coins."""
        couplings = model.couplings()
        summed = torch.zeros_like(couplings.hidden_bias)
        return couplings, Base(base_rates(model.data_means), summed)

    def relaxed(self, model: EnergyModel, x: Float[Tensor, "m d"]) -> Float[Tensor, "m s"]:
        """Return x after the sweeps."""
        return model.gibbs(x, self.burn_in)

    def unnormalised(self, model: EnergyModel, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Return −F(x)."""
        return -model.free_energy(x)
