"""Models that complete the hidden half of an image."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.protocols.data import Split
from hwbench.protocols.models import Model

Half = Literal["left", "right", "top", "bottom"]
Size = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)] | None


def half_of(half: Half, visible: int, size: Sequence[int] | None = None) -> Bool[Tensor, "d"]:
    """Return which units of an image lie in a half of it, including the middle of an odd size.

    Args:
        half: the half.
        visible: number of units of an image, row by row.
        size: (height, width); a square by default.

    Raises:
        ValueError: the size has another number of units, the units do not make a square, or a half
            would be the whole image.

    >>> half_of("left", 6, (2, 3)).tolist()
    [True, True, False, True, True, False]
    """
    side = math.isqrt(visible)
    height, width = (side, side) if size is None else size
    if height * width != visible:
        found = "a square" if size is None else f"of {height} x {width}"
        raise ValueError(f"images of {visible} units are not {found}; give their size")
    across, first = half in ("left", "right"), half in ("left", "top")
    length = width if across else height
    if length < 2:
        raise ValueError(f"an image of {height} x {width} has no {half} half")
    line = torch.arange(length) if first else torch.arange(length).flip(0)
    inside = line < (length + 1) // 2
    return (inside if across else inside[:, None]).expand(height, width).flatten()


class Completer(Model):
    """A model that completes the hidden units of a point from the seen ones."""

    @abstractmethod
    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the means of all units given the seen ones, which are kept; detached.

        Hidden units of x have no effect.
        """


class NeighbourCompleter(Completer):
    """A completer that stores points and fills in hidden units with the mean of the nearest."""

    observed: Literal["binary", "real"] = "real"

    @abstractmethod
    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Store the points of a split, of which the k nearest in the seen units fill in."""

    @abstractmethod
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the indices of the k nearest stored points in the seen units, nearest first."""

    @abstractmethod
    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the means of these points."""
