"""FastICA: the classical estimate of independent components."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field

from hwbench.numerics import stream
from hwbench.protocols import Fit, MixingModel, TrainSplit, ValidationSplit


class FastICA(Fit[MixingModel]):
    """Estimate A in x = A s by FastICA (Hyvärinen, 1999) with the contrast log cosh (scikit-learn).

    Args:
        iterations: largest number of iterations.
        tolerance: change of the unmixing matrix at which the iteration stops.
    """

    def __init__(
        self,
        iterations: Annotated[int, Field(ge=1)] = 200,
        tolerance: Annotated[float, Field(gt=0)] = 1e-4,
    ) -> None:
        self.iterations, self.tolerance = iterations, tolerance

    def __call__(
        self,
        model: MixingModel,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Set the model's A; there are no curves."""
        from sklearn.decomposition import FastICA as Estimator
        from sklearn.exceptions import ConvergenceWarning

        progress(0.0, "FastICA")
        x = train.batch(torch.arange(len(train))).double().cpu().numpy()
        estimator = Estimator(
            model.mixing().shape[1],
            whiten="unit-variance",
            max_iter=self.iterations,
            tol=self.tolerance,
            random_state=stream(seed, "init") % 2**32,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the progress text shows it
            estimator.fit(x)
        model.place(torch.from_numpy(estimator.mixing_))
        progress(1.0, f"{estimator.n_iter_} of at most {self.iterations} iterations")
        return {}
