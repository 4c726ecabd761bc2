"""The mean image, which completes a half of any image alike."""

# Dims: B points, D observed units.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.protocols import NeighbourCompleter, Split


class MeanImage(NeighbourCompleter):
    """Completes with the mean of all training points: of any point, it is the only neighbour."""

    average: Tensor

    def __init__(self, visible: Annotated[int, Field(ge=1)]) -> None:
        super().__init__()
        self.visible = visible
        self.register_buffer("average", torch.zeros(visible))

    @classmethod
    def tiny(cls) -> MeanImage:
        """Return four observed units."""
        return cls(visible=4)

    def keep(self, split: Split, seen: Bool[Tensor, "d"], k: int) -> None:
        """Store the mean of a split; which units are seen has no effect, nor has k."""
        self.average = split.means().to(split.values.device)

    def neighbours(self, x: Float[Tensor, "b d"], k: int) -> Integer[Tensor, "b k"]:
        """Return zeros, the number of the mean."""
        return torch.zeros(len(x), k, dtype=torch.int64, device=x.device)

    def means(self, neighbours: Integer[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the mean for each point."""
        return self.average.expand(len(neighbours), -1)

    def complete(self, x: Float[Tensor, "b d"], seen: Bool[Tensor, "d"]) -> Float[Tensor, "b d"]:
        """Return the seen units unchanged, and the means of the others."""
        return torch.where(seen, x, self.average)
