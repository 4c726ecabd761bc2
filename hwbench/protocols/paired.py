"""Points that consist of an image and a text, with several labels; models that rank them."""

# Dims: N points, B points in a batch, D inputs of an image, V words in the vocabulary, L labels.

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from hwbench.protocols.data import (
    PartlyLabelledSplit,
    Split,
    TestSplit,
    TrainSplit,
    ValidationSplit,
    labelled_part,
)
from hwbench.protocols.models import Model
from hwbench.protocols.text import check_counts

Text = Literal["given", "zero", "generated"]
P = TypeVar("P", bound="Pairs")


class Counts(NamedTuple):
    """Word counts [N, V] in compressed sparse rows: only counts above zero are stored.

    Attributes:
        indptr: [N + 1], the start of each row in `words` and `counts`, and the end of the last.
        words: indices of the words.
        counts: how often each occurs, 1 or more.
        vocabulary: vocabulary size V.
    """

    indptr: Integer[Tensor, " r"]
    words: Integer[Tensor, " c"]
    counts: Tensor
    vocabulary: int

    @classmethod
    def of(cls, dense: Tensor) -> Counts:
        """Return the counts of a dense array [N, V].

        Raises:
            ValueError: a count is negative or not a whole number.
        """
        check_counts(dense)
        rows, words = dense.nonzero(as_tuple=True)
        sizes = torch.bincount(rows, minlength=len(dense))
        indptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return cls(indptr, words, dense[rows, words].float(), int(dense.shape[1]))

    def rows(self, index: Integer[Tensor, "*b"]) -> Float[Tensor, "*b v"]:
        """Return the counts of some rows, zeros included."""
        flat, out = index.flatten(), self.counts.new_zeros(index.numel(), self.vocabulary)
        place, row = self._places(flat)
        out[row, self.words[place]] = self.counts[place]
        return out.view(*index.shape, self.vocabulary)

    def select(self, index: Integer[Tensor, "n"]) -> Counts:
        """Return some rows, in that order."""
        place, _ = self._places(index)
        sizes = (self.indptr[1:] - self.indptr[:-1])[index]
        indptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return Counts(indptr, self.words[place], self.counts[place], self.vocabulary)

    def _places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of these rows' counts, and for each its position in `index`."""
        start, sizes = self.indptr[index], (self.indptr[1:] - self.indptr[:-1])[index]
        row = torch.repeat_interleave(torch.arange(len(index), device=index.device), sizes)
        first = sizes.cumsum(0) - sizes
        return torch.arange(len(row), device=row.device) - first[row] + start[row], row

    def lengths(self) -> Float[Tensor, "n"]:
        """Return the number of words of each row."""
        total = torch.cat([self.counts.new_zeros(1), self.counts.cumsum(0)])
        return total[self.indptr[1:]] - total[self.indptr[:-1]]

    def means(self) -> Float[Tensor, "v"]:
        """Return the mean count of each word."""
        total = torch.bincount(self.words, self.counts.double(), self.vocabulary)
        return (total / (len(self.indptr) - 1)).float()

    def to(self, device: torch.device | str) -> Counts:
        """Return the counts on another device."""
        return Counts(
            self.indptr.to(device), self.words.to(device), self.counts.to(device), self.vocabulary
        )


@dataclass(frozen=True, kw_only=True)
class Pairs(Split):
    """Images with texts; a point is [image | word counts], D + V numbers.

    A text without words is treated as unknown.

    Attributes:
        values: [N, D], the images, float32.
        text: counts of words [N, V].
        targets: [N, L], whether each label applies, or None without labels.
        label_names: names of the L labels.
        word_names: the V words.
    """

    text: Counts
    targets: Bool[Tensor, "n l"] | None = None
    label_names: tuple[str, ...] = ()
    word_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: the numbers of images, texts or labels differ, or there is not one name for
                each label and word.
        """
        found = {"images": len(self.values), "texts": len(self.text.indptr) - 1}
        if self.targets is not None:
            found["rows of labels"] = len(self.targets)
        if len(set(found.values())) > 1:
            numbers = ", ".join(f"{n} {what}" for what, n in found.items())
            raise ValueError(f"there must be as many of each: found {numbers}")
        if self.targets is not None and self.targets.shape[1] != len(self.label_names):
            raise ValueError(f"{self.targets.shape[1]} labels have {len(self.label_names)} names")
        if self.text.vocabulary != len(self.word_names):
            raise ValueError(f"{self.text.vocabulary} words have {len(self.word_names)} names")

    @property
    def parts(self) -> tuple[int, int]:
        """Return (D, V)."""
        return int(self.values.shape[1]), self.text.vocabulary

    @property
    def visible(self) -> int:
        """Return D + V."""
        return sum(self.parts)

    def batch(
        self, index: Integer[Tensor, "*b"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*b d"]:
        """Return the points at `index`; nothing is drawn."""
        return torch.cat([self.values[index].float(), self.text.rows(index)], -1)

    def means(self) -> Float[Tensor, "d"]:
        """Return the mean of every input of an image and of every count."""
        return torch.cat([self.values.double().mean(0).float(), self.text.means()])

    def to(self: P, device: torch.device | str) -> P:
        """Return the split on another device."""
        targets = None if self.targets is None else self.targets.to(device)
        return dataclasses.replace(
            self, values=self.values.to(device), text=self.text.to(device), targets=targets
        )

    def subset(self: P, index: Tensor) -> P:
        """Return the points at `index`, in that order."""
        index = index.to(self.values.device)
        targets = None if self.targets is None else self.targets[index]
        return dataclasses.replace(
            self, values=self.values[index], text=self.text.select(index), targets=targets
        )


class PairedTrainSplit(Pairs, TrainSplit):
    """Pairs for training."""


class PairedValidationSplit(Pairs, ValidationSplit):
    """Pairs for model selection."""


class PairedTestSplit(Pairs, TestSplit):
    """Pairs for reported results, never for model selection."""

    __test__ = False  # not a pytest class


@dataclass(frozen=True, kw_only=True)
class PartlyLabelledPairs(Pairs, PartlyLabelledSplit):
    """Pairs for training, together with the subset that has labels."""

    def to(self, device: torch.device | str) -> PartlyLabelledPairs:
        """Return the split on another device."""
        moved = super().to(device)
        return dataclasses.replace(moved, labelled=self.labelled.to(device))


def pairs_of(split: Split) -> Pairs:
    """Return a split as pairs with labels; for a partly labelled split, its labelled part.

    Raises:
        ValueError: the split has no texts, or no labels.
    """
    if isinstance(split, TrainSplit):
        split = labelled_part(split)
    if not isinstance(split, Pairs):
        raise ValueError(f"images with texts are needed; found a {type(split).__name__}")
    if split.targets is None:
        raise ValueError(f"labels are needed; this {type(split).__name__} has none")
    return split


class PairedModel(Model):
    """A model of pairs, or of the features of pairs.

    Attributes:
        words: number of words V; the other D = visible − V units belong to the image.
    """

    observed: Literal["binary", "real"] = "real"
    words: int

    def split(self, x: Float[Tensor, "*b d"]) -> tuple[Tensor, Tensor]:
        """Return the image [*B, D] and the text [*B, V] of points."""
        image, text = x.split([x.shape[-1] - self.words, self.words], -1)
        return image, text

    def check_parts(self, train: Split) -> None:
        """Check that the data have as many words as the model.

        Raises:
            ValueError: the numbers differ, or the data are not pairs.
        """
        name = type(self).__name__
        if not isinstance(train, Pairs):
            raise ValueError(f"{name}: needs images with texts; found a {type(train).__name__}")
        if train.parts[1] != self.words:
            image, words = train.parts
            raise ValueError(
                f"{name}: the data have {image} inputs of an image and {words} words; give "
                f"words: {words} (found {self.words})"
            )


class LabelRanker(PairedModel):
    """A model that scores points for each of L labels, linearly in one of its layers.

    Scores are zero until `keep` is called.

    Attributes:
        classes: number of labels L.
        features: names of the layers, each with its number of units; the first is the main one.
    """

    classes: int
    features: dict[str, int]

    @abstractmethod
    def represent(
        self, x: Float[Tensor, "b d"], layer: str, text: Text = "given"
    ) -> Float[Tensor, "b f"]:
        """Return the values of a layer, detached.

        Args:
            x: points.
            layer: its name.
            text: use the text as `given`, an empty text (`zero`), or a text `generated` from the
                image. A given text without words is generated, if the model can do so.
        """

    @abstractmethod
    def keep(self, layer: str, weight: Float[Tensor, "f l"], bias: Float[Tensor, "l"]) -> None:
        """Store the linear classifiers of a layer."""

    @abstractmethod
    def score(self, features: Float[Tensor, "b f"], layer: str) -> Float[Tensor, "b l"]:
        """Return the score of each label for the values of a layer."""

    @abstractmethod
    def fitted(self) -> list[str]:
        """Return the layers whose classifiers have been stored."""


class TextGenerator(PairedModel):
    """A model that generates the text of an image."""

    @abstractmethod
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected word counts given the image, detached; the text of x is ignored."""


class PairedAutoencoder(PairedModel):
    """A model that reconstructs an image and a text from one layer."""

    @abstractmethod
    def reconstruct(
        self, x: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b i"], Float[Tensor, "b v"], Float[Tensor, "b v"]]:
        """Return the image, the logits of the words, and the target counts."""
