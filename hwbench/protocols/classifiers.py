"""Models that classify points."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from jaxtyping import Float, Integer
from torch import Tensor, nn

from hwbench.protocols.data import Split
from hwbench.protocols.models import Model


class Classifier(Model):
    """A model that classifies points.

    Attributes:
        classes: number of classes.
        net: maps the output of `prepare` to the logits of the classes; fine-tuning trains it.
        pretrained: whether the net starts from what earlier stages of training have learned.
    """

    observed: Literal["binary", "real"] = "real"
    classes: int
    net: nn.Module
    pretrained: bool = False

    def prepare(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Return the input of the net, detached: x, possibly with features computed from it."""
        return x

    def start(self) -> None:
        """Initialise the net from what earlier stages have learned; does nothing by default."""

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """Return the logits of the classes."""
        out: Tensor = self.net(self.prepare(x))
        return out


class Network(Classifier):
    """A classifier whose net has parameters that back-propagation can train."""


class NeighbourClassifier(Classifier):
    """A classifier that stores labelled points and lets the nearest ones vote; it has no net."""

    @abstractmethod
    def keep(self, split: Split, k: int) -> None:
        """Store the points of a split, of which the nearest k vote."""

    @abstractmethod
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the indices of the k nearest stored points, the nearest first."""

    @abstractmethod
    def vote(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        """Return the logits of the classes from the votes of these points."""


class KernelClassifier(Classifier):
    """A classifier by sums of kernels around support vectors, for each pair of classes; no net.

    Attributes:
        counts: [P], the number of support vectors of each class in the training data.
    """

    counts: Tensor

    @abstractmethod
    def keep(
        self,
        vectors: Float[Tensor, "s d"],
        counts: Integer[Tensor, "p"],
        coefficients: Float[Tensor, "o s"],
        intercepts: Float[Tensor, "q"],
        present: Integer[Tensor, "p"],
        gamma: float,
    ) -> None:
        """Store a fitted machine, in float64 and in LIBSVM's layout.

        Args:
            vectors: support vectors, class by class.
            counts: number of support vectors of each class.
            coefficients: coefficients of each vector against each other class, O = P − 1, in order.
            intercepts: intercepts of each pair of classes, Q = P (P − 1) / 2.
            present: the classes in the training data, in ascending order.
            gamma: γ of the kernel.
        """


def labels_of(split: Split, classes: int) -> Integer[Tensor, "n"]:
    """Return the labels of a split.

    Raises:
        ValueError: labels are absent, not one per point, or outside the classes.
    """
    labels = split.labels
    if labels is None:
        raise ValueError(f"a classifier needs labels; this {type(split).__name__} has none")
    if len(labels) != len(split):
        raise ValueError(
            f"{len(labels)} labels for the {len(split)} points of the {type(split).__name__}"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels are class numbers from 0 to {classes - 1}; the {type(split).__name__} has "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    return labels
