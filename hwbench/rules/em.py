"""Expectation maximisation for mixtures of Bernoullis."""

# Dims: N points, B points of a chunk, D observed units, C components.

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from hwbench.numerics import generator
from hwbench.protocols import Fit, Mixture, Split, TrainSplit, ValidationSplit


class EM(Fit[Mixture]):
    """Penalised EM for a mixture of Bernoullis, over all points in each iteration.

        E    r_nc ∝ π_c Π_d Bern(x_nd; μ_cd),   N_c = Σ_n r_nc
        M    π_c ∝ N_c + a,   μ_cd = clip((Σ_n r_nc x_nd + a m_d) / (N_c + a), ε, 1 − ε)

    with a = `smoothing` pseudo-counts of the mean image m (Dempster et al., 1977). This is the
    exact maximiser, subject to μ in [ε, 1 − ε], of the EM lower bound of

        Σ_n log p(x_n) + a Σ_c [log π_c + Σ_d (m_d log μ_cd + (1 − m_d) log(1 − μ_cd))],

    so this objective never falls. Initial means are random training points, shrunk halfway to m,
    plus noise. Besides the data, memory holds `chunk` × C numbers and two copies of the parameters.

    Args:
        iterations: largest number of iterations.
        smoothing: a, pseudo-counts per component.
        clip: ε, in (0, 1/2).
        tolerance: stop when an iteration gains less than this many nats per point.
        patience: stop after this many iterations without a better validation likelihood. The best
            parameters on the validation points are kept or, without such points, the last ones.
        chunk: number of points processed at a time.
    """

    curves = ("train/objective", "train/log_likelihood", "validation/log_likelihood")

    def __init__(
        self,
        iterations: Annotated[int, Field(ge=1)] = 200,
        smoothing: Annotated[float, Field(ge=0)] = 0.1,
        clip: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3,
        tolerance: Annotated[float, Field(ge=0)] = 1e-4,
        patience: Annotated[int, Field(ge=1)] = 10,
        chunk: Annotated[int, Field(ge=1)] = 2000,
    ) -> None:
        if iterations < 1 or smoothing < 0 or not 0 < clip < 0.5 or chunk < 1 or patience < 1:
            raise ValueError(
                "EM: needs iterations, patience, chunk ≥ 1, smoothing ≥ 0, 0 < clip < 0.5; found "
                f"{iterations=}, {patience=}, {chunk=}, {smoothing=}, {clip=}"
            )
        self.iterations, self.smoothing, self.clip = iterations, smoothing, clip
        self.tolerance, self.patience, self.chunk = tolerance, patience, chunk

    @torch.no_grad()
    def __call__(
        self,
        model: Mixture,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the mixture.

        Returns curves of points (iteration, nats per point): the objective and the log-likelihoods
        of training and validation points, each measured before the iteration.
        """
        draws = generator(seed, "pixels", device=train.values.device)
        data = _frozen(train, draws)  # Pixels are drawn once, so that the objective is fixed.
        held_out = None if validation is None else _frozen(validation, draws)
        mean = data.means()
        self._start(model, data, mean, generator(seed, "init", device=mean.device))

        objective, train_curve, validation_curve = [], [], []
        best, best_at = -math.inf, 0
        kept = model.weights.clone(), model.logits.clone()
        for i in range(self.iterations):
            if held_out is not None:
                validation_curve.append(self._log_likelihood(model, held_out))
                if validation_curve[-1] > best:
                    best, best_at = validation_curve[-1], i
                    kept = model.weights.clone(), model.logits.clone()
            penalty = self._penalty(model, mean)
            log_likelihood = self._step(model, data, mean)
            train_curve.append(log_likelihood)
            objective.append(log_likelihood + penalty / len(data))
            progress((i + 1) / self.iterations, f"train log-likelihood {log_likelihood:.2f}")
            gain = objective[-1] - objective[-2] if i else math.inf
            if gain < self.tolerance or (held_out is not None and i - best_at >= self.patience):
                break
        if held_out is not None:
            model.weights.copy_(kept[0])
            model.logits.copy_(kept[1])
        curves = {"train/objective": objective, "train/log_likelihood": train_curve}
        if held_out is not None:
            curves["validation/log_likelihood"] = validation_curve
        return {name: [(float(i), y) for i, y in enumerate(ys)] for name, ys in curves.items()}

    def _start(self, mixture: Mixture, data: Split, mean: Tensor, g: torch.Generator) -> None:
        components = len(mixture.weights)
        index = torch.randint(len(data), (components,), generator=g, device=mean.device)
        noise = torch.rand(mixture.logits.shape, generator=g, device=mean.device)
        mu = 0.45 * data.batch(index) + 0.45 * mean + 0.1 * noise
        mixture.weights.zero_()
        mixture.logits.copy_(mu.clamp(self.clip, 1 - self.clip).logit())

    def _step(self, mixture: Mixture, data: Split, mean: Tensor) -> float:
        """Do one iteration, and return the mean log-likelihood before it."""
        counts = torch.zeros_like(mixture.weights, dtype=torch.float64)
        sums = torch.zeros_like(mixture.logits)
        total = 0.0
        for x in _chunks(data, self.chunk, mixture.logits):
            log_joint = mixture.log_joint(x)
            log_p = log_joint.logsumexp(1)
            r = log_joint.sub_(log_p[:, None]).exp_()  # [B, C]
            total += log_p.sum(dtype=torch.float64).item()
            counts += r.sum(0, dtype=torch.float64)
            sums.addmm_(r.t(), x)
        a = self.smoothing
        mass = (counts + a)[:, None]
        mu = (sums.double() + a * mean.double()) / mass.clamp_min(torch.finfo(torch.float64).tiny)
        tiny = torch.finfo(
            mixture.weights.dtype
        ).tiny  # A component may die, but its log π must stay finite.
        mixture.weights.copy_(mass[:, 0].clamp_min(tiny).log())
        mixture.logits.copy_(mu.clamp(self.clip, 1 - self.clip).logit())
        return total / len(data)

    def _penalty(self, mixture: Mixture, mean: Tensor) -> float:
        logits = mixture.logits.double()
        log_mu, log_rest = (
            -torch.nn.functional.softplus(-logits),
            -torch.nn.functional.softplus(logits),
        )
        per_unit = mean.double() * log_mu + (1 - mean.double()) * log_rest
        log_pi = mixture.weights.double().log_softmax(0)
        return self.smoothing * (log_pi.sum() + per_unit.sum()).item()

    def _log_likelihood(self, mixture: Mixture, data: Split) -> float:
        total = sum(
            mixture.log_joint(x).logsumexp(1).sum(dtype=torch.float64).item()
            for x in _chunks(data, self.chunk, mixture.logits)
        )
        return total / len(data)


def _frozen(split: Split, g: torch.Generator) -> Split:
    """Return a resampled split with its pixels drawn once, as bytes; others unchanged."""
    if not split.resample:
        return split
    values = torch.empty(split.values.shape, dtype=torch.uint8, device=split.values.device)
    for index in torch.arange(len(split), device=values.device).split(5000):
        values[index] = split.batch(index, g).byte()
    return type(split)(values, split.labels)


def _chunks(data: Split, size: int, like: Tensor) -> Iterator[Tensor]:
    index = torch.arange(len(data), device=data.values.device)
    return (data.batch(part).to(like.dtype) for part in index.split(size))
