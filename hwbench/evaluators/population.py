"""How similar simulated populations are to a real one, and how uncertain the delay is.

Dims: N series, T steps, W windows, M delays, S points in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.evaluators.points import evaluating
from hwbench.kernels import median_distance, squared_distances
from hwbench.numerics import effective_sample_size, stream
from hwbench.protocols import DelayModel, Evaluation, HeldOut, Metric, PlottingEvaluator

Count = Annotated[int, Field(ge=2)]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WINDOW = 10  # steps
LEAST = 1e-12  # smaller numbers are replaced by this before logarithms
SHOWN = 5  # simulated series


class Population(PlottingEvaluator[DelayModel]):
    """Compare simulated series with the real ones by their statistics and their windows.

        statistics_distance  √ mean_s ((s(data) − mean s(x')) / deviation s(x'))², x' simulated
        mmd                  unbiased squared MMD of 10-step windows, Gaussian kernel, median width
        delay_entropy        entropy of the distribution of the delay, in nats
        delay                the most probable delay
        prior_ess            effective sample size of prior samples weighted by the likelihood

    The statistics s are the mean log, the logs of the 5, 25, 50, 75 and 95 % quantiles, and the
    number of peaks (a peak is above the step before it and not below the step after it). Five
    simulated series and the probabilities of the delays are kept; `delays_in_training` [M, S + 1]
    are these after each part of training, or [M, 1] only at its end if they were not recorded.

    Args:
        series: number of simulated series for the statistics.
        windows: largest number of windows on each side of the MMD.
        samples: number of samples from the prior, for `prior_ess`.
    """

    metrics = ("statistics_distance", "mmd", "delay_entropy", "delay", "prior_ess")
    lines = ("data", "simulated", "delays", "delays_in_training")
    better = "lower"

    def __init__(self, series: Count = 500, windows: Count = 1000, samples: Count = 3000) -> None:
        self.series, self.windows, self.samples = series, windows, samples

    @classmethod
    def tiny(cls) -> Population:
        """Return an evaluation with few series."""
        return cls(series=20, windows=20, samples=20)

    def refuse(self, model: DelayModel, shape: tuple[int, ...]) -> None:
        """Reject series without a step that could be a peak.

        Raises:
            ValueError: there are fewer than three steps.
        """
        if model.visible < 3:
            raise ValueError(
                "a peak has a step before it and one after it, so a series needs 3 steps or more; "
                f"found {model.visible}"
            )

    def __call__(
        self,
        model: DelayModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, which are scores; `prior_ess` is averaged over points."""
        device = points.values.device
        x = points.batch(torch.arange(len(points), device=device))
        with evaluating(stream(seed, "evaluate", "population"), device):
            simulated = model.dream(self.series)[0]
            distance = statistics_distance(x, simulated)
            progress(0.3)
            sides = [_some(windows(series), self.windows) for series in (x, simulated)]
            mmd = unbiased_mmd(*sides)
            progress(0.6)
            _, h = model.dream(self.samples)
            log_w = model.log_likelihood(x, [h_l[:, None] for h_l in h])
            ess = effective_sample_size(log_w.double())
            probabilities = model.delays().double()
            recorded = model.path if model.path.any() else model.path[:0]
        progress(1.0)
        entropy = -torch.special.xlogy(probabilities, probabilities).sum()
        values = {
            "statistics_distance": distance,
            "mmd": mmd,
            "delay_entropy": float(entropy),
            "delay": float(probabilities.argmax() + 1),
            "prior_ess": float(ess.mean()),
        }
        out = Evaluation(
            {name: Metric(v, n=len(points), kind="score") for name, v in values.items()}
        )
        lines = {
            "data": x[:SHOWN],
            "simulated": simulated[:SHOWN],
            "delays": probabilities[None],
            "delays_in_training": torch.cat([recorded, probabilities[None]]).T,
        }
        out.per_point = {k: v.float().cpu().numpy() for k, v in lines.items()}
        return out


def summaries(x: Float[Tensor, "n t"]) -> Float[Tensor, "n s"]:
    """Return the statistics of each series.

    >>> bool(summaries(torch.tensor([[1.0, 3.0, 2.0, 5.0, 5.0, 1.0]]))[0, 6] == 2)
    True
    """
    wide = x.double()
    log_x = wide.clamp_min(LEAST).log()
    at = torch.tensor(QUANTILES, dtype=torch.float64, device=x.device)
    quantiles = wide.quantile(at, dim=1).T.clamp_min(LEAST).log()
    inner = wide[:, 1:-1]
    peaks = ((inner > wide[:, :-2]) & (inner >= wide[:, 2:])).double().sum(1)
    return torch.cat([log_x.mean(1, keepdim=True), quantiles, peaks[:, None]], 1)


def statistics_distance(x: Float[Tensor, "b t"], simulated: Float[Tensor, "n t"]) -> float:
    """Return the root mean square z-score of the mean statistics of x, relative to simulations."""
    own, others = summaries(x).mean(0), summaries(simulated)
    z = (own - others.mean(0)) / others.std(0).clamp_min(1e-6)
    return float(z.square().mean().sqrt())


def windows(x: Float[Tensor, "n t"]) -> Float[Tensor, "w l"]:
    """Return all windows of 10 steps, or of half a series if it is shorter than 20 steps."""
    length = min(WINDOW, (x.shape[1] + 1) // 2)
    return x.unfold(1, length, 1).reshape(-1, length).double()


def unbiased_mmd(a: Float[Tensor, "m l"], b: Float[Tensor, "n l"]) -> float:
    """Return the unbiased estimate of MMD² (Gretton et al., 2012), which may be below 0.

    The Gaussian kernel has the median distance of all points as its width.
    """
    width = median_distance(torch.cat([a[: len(b)], b[: len(a)]])).clamp_min(1e-6)

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (squared_distances(p, q) / (-2 * width.square())).exp()

    within = [(kernel(p, p).sum() - len(p)) / (len(p) * (len(p) - 1)) for p in (a, b)]
    return float(within[0] + within[1] - 2 * kernel(a, b).mean())


def _some(rows: Float[Tensor, "w l"], most: int) -> Float[Tensor, "v l"]:
    """Return at most `most` rows, drawn at random."""
    return rows[torch.randperm(len(rows), device=rows.device)[:most]]
