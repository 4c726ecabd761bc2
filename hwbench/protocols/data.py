"""Data sets and their splits; training, validation and test points are different types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

Pixels = Literal["fixed", "dynamic", "grey", "threshold"]
T = TypeVar("T")  # beartype, which checks shapes in tests, takes no typing.Self


class DataMissing(FileNotFoundError):
    """A data file is unavailable; the message gives its name, checksum and place."""


S = TypeVar("S", bound="Split")


@dataclass(frozen=True)
class Split:
    """Points of a data set, kept on one device; a minibatch is an index.

    Attributes:
        values: [N, D]; uint8 (0..255 where `scale` is 255, else 0/1) or float32.
        labels: [N] class numbers, or None.
        scale: divisor of the values.
        resample: draw Bernoulli(value) afresh at each presentation (dynamic binarisation).
    """

    values: Tensor
    labels: Tensor | None = None
    scale: float = 1.0
    resample: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def visible(self) -> int:
        """Return the number of observed units D."""
        return int(self.values.shape[1])

    def batch(
        self, index: Integer[Tensor, "*b"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*b d"]:
        """Return the points at `index` as float32, binarised afresh if the split is resampled."""
        x = self.values[index].float()
        if self.scale != 1.0:
            x = x / self.scale
        if self.resample:
            x = (torch.rand(x.shape, generator=generator, device=x.device) < x).float()
        return x

    def means(self) -> Float[Tensor, "d"]:
        """Return the mean of every observed unit."""
        return self.values.double().mean(0).float() / self.scale

    def to(self: S, device: torch.device | str) -> S:
        """Return the split on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return type(self)(self.values.to(device), labels, self.scale, self.resample)

    def subset(self: S, index: Tensor) -> S:
        """Return the points at `index`, in that order."""
        index = index.to(self.values.device)
        labels = None if self.labels is None else self.labels[index]
        return type(self)(self.values[index], labels, self.scale, self.resample)


class TrainSplit(Split):
    """Points to learn from."""


@dataclass(frozen=True, kw_only=True)
class PartlyLabelledSplit(TrainSplit):
    """Points to learn from without labels, together with fewer that have labels.

    Attributes:
        labelled: the points with labels, for fits that need them.
    """

    labelled: TrainSplit


def labelled_part(train: TrainSplit) -> TrainSplit:
    """Return the training points with labels: all points, unless the split is partly labelled."""
    return train.labelled if isinstance(train, PartlyLabelledSplit) else train


class ValidationSplit(Split):
    """Points to choose by: early stopping, hyperparameters."""


class TestSplit(Split):
    """Points to report on, and never to choose by."""

    __test__ = False  # not a pytest class


HeldOut = ValidationSplit | TestSplit


class Splits(NamedTuple):
    """The three parts of a data set; a set without validation points has None there."""

    train: TrainSplit
    validation: ValidationSplit | None
    test: TestSplit


class Dataset(ABC):
    """A data set with declared files and explicit pixels.

    Attributes:
        shape: (height, width) of an image; one number for a plain vector.
        files: names in `datasets/checksums.yaml`, none for a generated set.
        classes: number of classes of the labels, 0 without labels.
    """

    shape: tuple[int, ...]
    files: tuple[str, ...] = ()
    classes: int = 0

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` decides draws of pixels, and the split if the paper gives none.

        Raises:
            DataMissing: a file is neither on this machine nor available for download.
        """

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()
