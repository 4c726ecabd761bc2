"""Real-valued points: standardised images, and images that move at each presentation."""

# Dims: N points, B points of a batch, D observed units, P pictures per image, S side of a picture.

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from hwbench.protocols import PartlyLabelledSplit, Pixels, Split, Splits

_CHUNK = 1000  # points processed at once, to limit memory

S = TypeVar("S", bound=Split)
Image = tuple[int, int, int]
View = Callable[[Tensor], Tensor]


def only_grey(pixels: Pixels, name: str) -> None:
    """Raise ValueError if the pixels of a set of real values are not `grey`."""
    if pixels != "grey":
        raise ValueError(f"{name} has real values: pixels must be grey (found {pixels})")


class Standard(NamedTuple):
    """Constants that standardise points: a mean [D] for each unit, and one deviation for all."""

    mean: Tensor
    deviation: float

    def apply_(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """Return (x − mean) / deviation, computed in place."""
        return x.sub_(self.mean).div_(self.deviation)


def standard_of(x: Float[Tensor, "n d"]) -> Standard:
    """Return the mean of each unit, and the square root of the units' mean variance.

    Raises:
        ValueError: no unit varies.

    >>> standard_of(torch.tensor([[0.0, 5.0, 5.0, 5.0], [4.0, 5.0, 5.0, 5.0]]))
    Standard(mean=tensor([2., 5., 5., 5.]), deviation=1.0)
    """
    mean = torch.stack([part.double().sum(0) for part in x.split(_CHUNK)]).sum(0) / len(x)
    squares = torch.stack([(part.double() - mean).square().sum() for part in x.split(_CHUNK)])
    deviation = float((squares.sum() / x.numel()).sqrt())
    if not deviation > 0:
        raise ValueError("all training points are alike, so they cannot be standardised")
    return Standard(mean.float(), deviation)


@dataclass(frozen=True, kw_only=True)
class TranslatedSplit(PartlyLabelledSplit):
    """Unlabelled images that are moved at each presentation, then viewed and standardised.

    An image moves as a whole, down by one of `shifts` pixels and to the right by another, each
    drawn with equal probability. Pixels that enter at an edge repeat the edge.

    Attributes:
        values: [N, P·S·S] uint8, as in the file.
        image: (P, S, S): P pictures of one object, which move together.
        view: function from images [B, P, S, S], values divided by `scale`, to points [B, D].
        standard: constants computed on the points that do not move.
        shifts: shifts in pixels.
    """

    image: Image
    view: View
    standard: Standard
    shifts: tuple[int, ...]

    @property
    def visible(self) -> int:
        """Return the number of observed units D."""
        return len(self.standard.mean)

    def batch(
        self, index: Integer[Tensor, "*b"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*b d"]:
        """Return the points at `index`, with a new random move of each image."""
        device, n = self.values.device, index.numel()
        drawn = torch.randint(len(self.shifts), (2, n), generator=generator, device=device)
        moves = torch.tensor(self.shifts, device=device)[drawn]
        out = torch.empty(n, self.visible, device=device)
        for part in torch.arange(n, device=device).split(_CHUNK):
            images = self.values[index.flatten()[part]].view(-1, *self.image)
            seen = self.view(_moved(images, moves[:, part]).float() / self.scale)
            out[part] = self.standard.apply_(seen)
        return out.view(*index.shape, -1)

    def means(self) -> Float[Tensor, "d"]:
        """Return the mean of every observed unit for images at rest."""
        return self.labelled.means()

    def to(self, device: torch.device | str) -> TranslatedSplit:
        """Return the split on another device."""
        return dataclasses.replace(
            self,
            values=self.values.to(device),
            labelled=self.labelled.to(device),
            standard=self.standard._replace(mean=self.standard.mean.to(device)),
        )

    def subset(self, index: Tensor) -> TranslatedSplit:
        """Return the images at `index`, in that order; all labelled points are kept."""
        return dataclasses.replace(self, values=self.values[index.to(self.values.device)])


def _moved(images: Tensor, moves: Tensor) -> Tensor:
    """Return images [B, P, S, S] moved down by moves[0] and to the right by moves[1], each [B]."""
    side = images.shape[-1]
    lines = torch.arange(side, device=images.device)
    rows, columns = (lines - moves[:, :, None]).clamp(0, side - 1)  # source index of each line
    pixels = (rows[:, :, None] * side + columns[:, None, :]).flatten(1)
    flat = images.flatten(2)
    return flat.gather(2, pixels[:, None].expand_as(flat)).view_as(images)


def real_points(raw: Splits, image: Image, view: View, shifts: tuple[int, ...] = ()) -> Splits:
    """Return splits of uint8 images as real values: viewed, centred and scaled, as float32.

    Means and deviation are those of the training points at rest.

    Args:
        raw: images [N, P·S·S].
        image: (P, S, S).
        view: function from images [B, P, S, S] to points [B, D].
        shifts: if not empty, the training points move and have no labels; the labelled points at
            rest are then in the split's `labelled`.

    Raises:
        ValueError: all training points are equal.
    """

    def viewed(split: S) -> S:
        parts = torch.arange(len(split)).split(_CHUNK)
        points = [view(split.batch(part).view(-1, *image)) for part in parts]
        return type(split)(torch.cat(points), split.labels)

    train, test = viewed(raw.train), viewed(raw.test)
    validation = None if raw.validation is None else viewed(raw.validation)
    standard = standard_of(train.values)
    for split in (train, validation, test):
        if split is not None:
            standard.apply_(split.values)
    if not shifts:
        return Splits(train, validation, test)
    moving = TranslatedSplit(
        values=raw.train.values,
        scale=raw.train.scale,
        labelled=train,
        image=image,
        view=view,
        standard=standard,
        shifts=shifts,
    )
    return Splits(moving, validation, test)
