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
    """Return which units of an image lie in a half of it; the middle of an odd size does.

    Args:
        half: which.
        visible: units of an image, row by row.
        size: (height, width); a square unless given.

    Raises:
        ValueError: the size has another number of units, the units make no square, or a half would
            be all.

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
    """A model that fills in the units of a point that are not seen, from those that are."""

    @abstractmethod
    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the means of all units given those seen, which stay; detached.

        What x has at the others plays no part.
        """


class NeighbourCompleter(Completer):
    """One that keeps points; where units are not seen it has the mean of the nearest ones."""

    @abstractmethod
    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Keep the points of a split; the k nearest by the units seen fill in."""

    @abstractmethod
    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return the numbers of the k nearest kept points by the units seen, the nearest first."""

    @abstractmethod
    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the means of these points."""
