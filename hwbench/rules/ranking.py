"""One-against-all classifiers of labels, fitted to the layers of a model."""

# Dims: N points, F units of a layer, L labels.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from hwbench.numerics import generator
from hwbench.protocols import (
    Fit,
    LabelRanker,
    Pairs,
    Text,
    TrainSplit,
    ValidationSplit,
    pairs_of,
)
from hwbench.ranking import average_precision

CHUNK = 1000  # points per call of the model
Layers = Annotated[list[str], Field(min_length=1)] | None


class LabelClassifiers(Fit[LabelRanker]):
    """Linear classifiers of each label on layers of a model, which is not changed.

    The candidate with the highest mean average precision on the validation points, over the labels
    that occur there, is kept; without validation points, the last candidate is.

    Args:
        layers: names of the layers; all layers of the model by default.
        text: which text the model gets, as in `LabelRanker.represent`.
    """

    def __init__(self, layers: list[str] | None, text: Text) -> None:
        self.layers, self.text = layers, text

    @abstractmethod
    def candidates(
        self,
        x: Float[Tensor, "n f"],
        targets: Bool[Tensor, "n l"],
        names: tuple[str, ...],
        seed: int,
    ) -> Iterator[tuple[float, float, Tensor, Tensor]]:
        """Yield candidates: position on the curve, fraction done, weight [F, L] and bias [L].

        Raises:
            ValueError: a label occurs at no training point, or at all of them.
        """

    def __call__(
        self,
        model: LabelRanker,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Fit the classifiers of each layer.

        Return curves of the mean average precision of candidates on the validation points.

        Raises:
            ValueError: points have no texts or labels, or the model has no such layer.
        """
        learned, held_out = pairs_of(train), None if validation is None else pairs_of(validation)
        assert learned.targets is not None
        layers = list(model.features) if self.layers is None else self.layers
        curves: dict[str, list[tuple[float, float]]] = {}
        for i, layer in enumerate(layers):
            x = represented(model, learned, layer, self.text)
            y = None if held_out is None else represented(model, held_out, layer, self.text)
            best = -1.0
            found = self.candidates(x, learned.targets, learned.label_names, seed)
            for place, done, weight, bias in found:
                score = 0.0 if y is None else _validated(torch.addmm(bias, y, weight), held_out)
                if y is None or score > best:
                    best = score
                    model.keep(layer, weight, bias)
                if y is not None:
                    curves.setdefault(f"validation/map_{layer}", []).append((place, score))
                progress((i + done) / len(layers), f"{layer}: validation MAP {score:.4f}")
        return curves


@torch.no_grad()
def represented(
    model: LabelRanker, split: Pairs, layer: str, text: Text = "given"
) -> Float[Tensor, "n f"]:
    """Return the values of a layer for all points of a split."""
    index = torch.arange(len(split), device=split.values.device)
    return torch.cat(
        [model.represent(split.batch(part), layer, text) for part in index.split(CHUNK)]
    )


def _validated(scores: Tensor, split: Pairs | None) -> float:
    assert split is not None
    assert split.targets is not None
    values, targets = scores.double().cpu().numpy(), split.targets.cpu().numpy()
    found = [
        average_precision(values[:, label], targets[:, label])
        for label in np.flatnonzero(targets.any(0))
    ]
    return float(np.mean(found)) if found else 0.0


class OneAgainstAll(LabelClassifiers):
    """Logistic regression by stochastic gradient descent, as in the code of Srivastava (2012).

    The losses of all labels are summed, so the classifiers of different labels are independent. The
    classifiers are compared on the validation points every `every` steps, and the best are kept.

    Args:
        layers: names of the layers; all layers of the model by default.
        text: which text the model gets, as in `LabelRanker.represent`.
        steps: number of steps; 0 leaves all scores equal, which is a random ranking.
        every: steps between comparisons.
        lr: learning rate.
        weight_decay: coefficient of ½‖W‖².
        batch_size: points in a minibatch.
    """

    def __init__(
        self,
        layers: Layers = None,
        text: Text = "given",
        steps: Annotated[int, Field(ge=0)] = 10_000,
        every: Annotated[int, Field(ge=1)] = 500,
        lr: Annotated[float, Field(gt=0)] = 0.01,
        weight_decay: Annotated[float, Field(ge=0)] = 1e-3,
        batch_size: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        super().__init__(layers, text)
        self.steps, self.every, self.batch_size = steps, every, batch_size
        self.lr, self.weight_decay = lr, weight_decay

    @classmethod
    def tiny(cls) -> OneAgainstAll:
        """Return a fit with few steps."""
        return cls(steps=6, every=2, lr=0.1, batch_size=8)

    def candidates(
        self,
        x: Float[Tensor, "n f"],
        targets: Bool[Tensor, "n l"],
        names: tuple[str, ...],
        seed: int,
    ) -> Iterator[tuple[float, float, Tensor, Tensor]]:
        """Yield the classifiers after every `every` steps; their position is in epochs."""
        weight, bias = x.new_zeros(x.shape[1], targets.shape[1]), x.new_zeros(targets.shape[1])
        draws, order = generator(seed, "order"), torch.arange(0)
        size = min(self.batch_size, len(x))
        if not self.steps:
            yield 0.0, 1.0, weight, bias
        for step in range(1, self.steps + 1):
            if len(order) < size:
                order = torch.randperm(len(x), generator=draws).to(x.device)
            index, order = order[:size], order[size:]
            slope = (torch.addmm(bias, x[index], weight).sigmoid_() - targets[index].float()) / size
            gradient = torch.addmm(weight, x[index].t(), slope, beta=self.weight_decay)
            weight.sub_(gradient, alpha=self.lr)
            bias.sub_(slope.sum(0), alpha=self.lr)
            if step % self.every == 0 or step == self.steps:
                yield step * size / len(x), step / self.steps, weight, bias


class LinearClassifiers(LabelClassifiers):
    """Linear one-against-all classifiers of scikit-learn on standardised values.

    Constant values are left out. Among several C, the best on the validation points is kept.

    Args:
        kind: `discriminant` analysis with a shrunk covariance (Ledoit & Wolf, 2004), a linear
            `svm`, or `logistic` regression.
        layers: names of the layers; all layers of the model by default.
        text: which text the model gets, as in `LabelRanker.represent`.
        C: inverse regularisation strengths to choose from; None for discriminant analysis.
    """

    def __init__(
        self,
        kind: Literal["discriminant", "svm", "logistic"],
        layers: Layers = None,
        text: Text = "given",
        C: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None,
    ) -> None:
        super().__init__(layers, text)
        if (C is None) != (kind == "discriminant"):
            raise ValueError(
                f"LinearClassifiers: kind: {kind} {'needs' if C is None else 'has no'} C"
            )
        self.kind, self.C = kind, [1.0] if C is None else C

    @classmethod
    def tiny(cls) -> LinearClassifiers:
        """Return logistic regression with two values of C."""
        return cls("logistic", C=[0.1, 1.0])

    def candidates(
        self,
        x: Float[Tensor, "n f"],
        targets: Bool[Tensor, "n l"],
        names: tuple[str, ...],
        seed: int,
    ) -> Iterator[tuple[float, float, Tensor, Tensor]]:
        """Yield the classifiers for every C; their position is C."""
        values, labels = x.double().cpu().numpy(), targets.cpu().numpy()
        for name, share in zip(names, labels.mean(0), strict=True):
            if share in (0, 1):
                raise ValueError(
                    f"LinearClassifiers: label {name!r} occurs at {'all' if share else 'none'} of "
                    "the training points"
                )
        mean, deviation = values.mean(0), values.std(0)
        kept = deviation > 0
        standard = (values[:, kept] - mean[kept]) / deviation[kept]
        for i, strength in enumerate(self.C):
            made = [self._fitted(strength, standard, column) for column in labels.T]
            weight = np.zeros((values.shape[1], labels.shape[1]))
            weight[kept] = np.stack([w for w, _ in made], 1) / deviation[kept, None]
            bias = np.array([b for _, b in made]) - mean @ weight
            found = torch.from_numpy(weight).to(x), torch.from_numpy(bias).to(x)
            yield strength, (i + 1) / len(self.C), *found

    def _fitted(
        self, C: float, x: Float[np.ndarray, "n f"], target: Bool[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " f"], float]:
        """Return the weights and the bias of one label's classifier."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        made = {
            "discriminant": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            "svm": lambda: LinearSVC(C=C, dual=False),
            "logistic": lambda: LogisticRegression(C=C, max_iter=1000),
        }[self.kind]()
        made.fit(x, target)
        return made.coef_[0], float(made.intercept_[0])
