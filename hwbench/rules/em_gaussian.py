"""Expectation maximisation for mixtures of Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field

from hwbench.protocols import Fit, GaussianComponents, TrainSplit, ValidationSplit


class GaussianEM(Fit[GaussianComponents]):
    """EM with full covariances and k-means initialisation; best of several starts (scikit-learn).

    Args:
        starts: number of starts.
        iterations: largest number of iterations per start.
        floor: added to the diagonals of covariances.
    """

    curves = ("train/log_likelihood",)

    def __init__(
        self,
        starts: Annotated[int, Field(ge=1)] = 10,
        iterations: Annotated[int, Field(ge=1)] = 500,
        floor: Annotated[float, Field(gt=0)] = 1e-6,
    ) -> None:
        self.starts, self.iterations, self.floor = starts, iterations, floor

    @classmethod
    def tiny(cls) -> GaussianEM:
        """Return a fit with one start."""
        return cls(starts=1)

    def __call__(
        self,
        model: GaussianComponents,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the mixture; return the log-likelihood of the best start, in nats per point."""
        from sklearn.mixture import GaussianMixture

        progress(0.0, "EM")
        x = train.batch(torch.arange(len(train))).double().cpu().numpy()
        fit = GaussianMixture(
            model.components(),
            n_init=self.starts,
            max_iter=self.iterations,
            reg_covar=self.floor,
            random_state=int(seed),
        ).fit(x)
        parts = (fit.weights_, fit.means_, fit.covariances_)
        model.place(*(torch.from_numpy(part) for part in parts))
        value = float(fit.score(x))
        progress(1.0, f"train log-likelihood {value:.3f}")
        return {"train/log_likelihood": [(float(fit.n_iter_), value)]}
