"""Fitting of models that store training points; validation points choose hyperparameters."""

# Dims: N points, B points, D observed units, S support vectors.

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from hwbench.protocols import (
    Classifier,
    Fit,
    Half,
    KernelClassifier,
    NeighbourClassifier,
    NeighbourCompleter,
    Size,
    Split,
    TrainSplit,
    ValidationSplit,
    half_of,
    labels_of,
)

CHUNK = 1000  # points per call of the model

Positive = Annotated[float, Field(gt=0)]


class ChooseK(Fit[NeighbourClassifier]):
    """Store the training points, and choose the k with the fewest validation errors.

    Ties go to the smallest k.

    Args:
        k: the numbers of neighbours to choose from; a single one needs no validation points.
        refit: store the validation points, too, once k is chosen.
    """

    curves = ("validation/error", "chosen/k")

    def __init__(
        self,
        k: Annotated[list[Annotated[int, Field(ge=1, le=25)]], Field(min_length=1)],
        refit: bool = True,
    ) -> None:
        self.k, self.refit = sorted(set(k)), refit

    @classmethod
    def tiny(cls) -> ChooseK:
        """Return a choice between 1 and 3."""
        return cls(k=[1, 3])

    @torch.no_grad()
    def __call__(
        self,
        model: NeighbourClassifier,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Store the points; the seed has no effect.

        Returns the validation error over k, and the chosen k.

        Raises:
            ValueError: there is a choice but no validation points, or the points cannot be stored.
        """
        k, curves = self.k[0], {}
        model.keep(train, self.k[-1])
        if validation is not None:
            labels = labels_of(validation, model.classes)
            wrong = dict.fromkeys(self.k, 0)
            for index in torch.arange(len(validation), device=labels.device).split(CHUNK):
                nearest = model.neighbours(validation.batch(index), self.k[-1])
                for each in self.k:
                    guess = model.vote(nearest[:, :each]).argmax(1)
                    wrong[each] += int((guess != labels[index]).sum())
                done = (int(index[-1]) + 1) / len(validation)
                progress(done, f"{int(100 * done)} % of the validation points")
            k = min(self.k, key=lambda each: (wrong[each], each))
            curves["validation/error"] = [(float(j), wrong[j] / len(validation)) for j in self.k]
        elif len(self.k) > 1:
            raise ValueError(f"ChooseK: validation points choose one of k = {self.k}; none given")
        model.keep(_all(train, validation) if self.refit else train, k)
        progress(1.0, f"k = {k}")
        return {**curves, "chosen/k": [(1.0, float(k))]}


class ChooseNeighbours(Fit[NeighbourCompleter]):
    """Store the training points, and choose the k with the least squared validation error.

    The error is over the unseen units. Ties go to the smallest k. The validation points are not
    stored: if pixels are drawn, they would be binary images among grey ones.

    Args:
        seen: the seen half of an image, the same as in the evaluator.
        k: the numbers of neighbours to choose from; a single one needs no validation points.
        size: [height, width] of an image; a square by default.
    """

    curves = ("validation/mse", "chosen/k")

    def __init__(
        self,
        seen: Half,
        k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
        size: Size = None,
    ) -> None:
        self.seen, self.k, self.size = seen, sorted(set(k)), size

    @classmethod
    def tiny(cls) -> ChooseNeighbours:
        """Return a choice between 1 and 3, with the left half seen."""
        return cls(seen="left", k=[1, 3])

    @torch.no_grad()
    def __call__(
        self,
        model: NeighbourCompleter,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Store the points; the seed has no effect.

        Returns the validation error over k, and the chosen k.

        Raises:
            ValueError: there is a choice but no validation points, or fewer than k points.
        """
        device = train.values.device
        seen = half_of(self.seen, train.visible, self.size).to(device)
        k, curves = self.k[0], {}
        model.keep(train, seen, self.k[-1])
        if validation is not None:
            wrong = dict.fromkeys(self.k, 0.0)
            for index in torch.arange(len(validation), device=device).split(CHUNK):
                x = validation.batch(index)
                found = model.neighbours(x, self.k[-1])
                for each in self.k:
                    error = (model.means(found[:, :each]) - x)[:, ~seen]
                    wrong[each] += float(error.double().square().sum())
                done = (int(index[-1]) + 1) / len(validation)
                progress(done, f"{int(100 * done)} % of the validation points")
            k = min(self.k, key=lambda each: (wrong[each], each))
            numbers = len(validation) * int((~seen).sum())
            curves["validation/mse"] = [(float(j), wrong[j] / numbers) for j in self.k]
        elif len(self.k) > 1:
            raise ValueError(
                f"ChooseNeighbours: validation points choose one of k = {self.k}; none given"
            )
        model.keep(train, seen, k)
        progress(1.0, f"k = {k}")
        return {**curves, "chosen/k": [(1.0, float(k))]}


class ChooseRBF(Fit[KernelClassifier]):
    """Fit a support vector machine by LIBSVM's SMO (scikit-learn); validation chooses C and γ.

    Every pair of C and γ is fitted to the training points. The first pair with the fewest errors on
    the validation points is taken.

    Args:
        C: penalties of points within the margin.
        gamma: values of γ in the kernel exp(−γ ‖x − y‖²).
        refit: fit again, to training and validation points, once C and γ are chosen.
        points: largest number of training points used, taken from the start, before and after the
            choice.
        cache: memory for kernel values, in MB.
    """

    curves = ("validation/error", "chosen/C", "chosen/gamma")

    def __init__(
        self,
        C: Annotated[list[Positive], Field(min_length=1)],
        gamma: Annotated[list[Positive], Field(min_length=1)],
        refit: bool = True,
        points: Annotated[int, Field(ge=2)] | None = None,
        cache: Positive = 1000.0,
    ) -> None:
        self.candidates = list(product(C, gamma))
        self.refit, self.points, self.cache = refit, points, cache

    @classmethod
    def tiny(cls) -> ChooseRBF:
        """Return a choice between two penalties and two widths."""
        return cls(C=[1.0, 10.0], gamma=[0.1, 1.0])

    def __call__(
        self,
        model: KernelClassifier,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the machine; the seed has no effect.

        Returns the validation error over the candidates, ordered by C, and the chosen values.

        Raises:
            ValueError: there is a choice but no validation points, labels do not match, all points
                have one class, or pixels are drawn at each presentation.
        """
        if validation is None and len(self.candidates) > 1:
            raise ValueError("ChooseRBF: validation points choose C and gamma; none given")
        if self.points is not None:
            train = train.subset(torch.arange(min(self.points, len(train))))
        chosen, errors = self.candidates[0], []
        fits = len(self.candidates) + 1
        if validation is not None:
            for i, candidate in enumerate(self.candidates):
                progress(i / fits, "C = {}, gamma = {}".format(*candidate))
                self._fit(model, train, *candidate)
                errors.append(_error(model, validation))
            chosen = self.candidates[int(np.argmin(errors))]
        progress((fits - 1) / fits, "C = {}, gamma = {} chosen".format(*chosen))
        if self.refit or chosen != self.candidates[-1] or validation is None:
            self._fit(model, _all(train, validation) if self.refit else train, *chosen)
        progress(1.0, f"{int(model.counts.sum())} support vectors")
        curves = {"chosen/C": [(1.0, chosen[0])], "chosen/gamma": [(1.0, chosen[1])]}
        if errors:
            curves["validation/error"] = [(i + 1.0, error) for i, error in enumerate(errors)]
        return curves

    def _fit(self, model: KernelClassifier, split: Split, C: float, gamma: float) -> None:
        from sklearn.svm import SVC

        labels = labels_of(split, model.classes)
        if split.resample:
            raise ValueError("ChooseRBF: pixels that are drawn at each presentation cannot be kept")
        x = split.batch(torch.arange(len(split), device=labels.device)).double().cpu().numpy()
        machine = SVC(C=C, kernel="rbf", gamma=gamma, cache_size=self.cache)
        machine.fit(x, labels.cpu().numpy())
        sign = -1.0 if len(machine.classes_) == 2 else 1.0  # scikit-learn swaps two classes.
        device = labels.device
        model.keep(
            torch.tensor(machine.support_vectors_, device=device),
            torch.tensor(machine.n_support_, device=device).long(),
            torch.tensor(sign * machine.dual_coef_, device=device),
            torch.tensor(sign * machine.intercept_, device=device),
            torch.tensor(machine.classes_, device=device).long(),
            gamma,
        )


def _all(train: TrainSplit, validation: ValidationSplit | None) -> Split:
    """Return the training points followed by the validation points."""
    if validation is None:
        return train
    assert train.labels is not None
    assert validation.labels is not None
    values = torch.cat([train.values, validation.values])
    return TrainSplit(values, torch.cat([train.labels, validation.labels]), train.scale)


@torch.no_grad()
def _error(model: Classifier, split: Split) -> float:
    labels = labels_of(split, model.classes)
    wrong = 0
    for index in torch.arange(len(split), device=labels.device).split(CHUNK):
        wrong += int((model.logits(split.batch(index)).argmax(1) != labels[index]).sum())
    return wrong / len(split)
