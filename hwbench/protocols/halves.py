"""Data sets that know which units of a point lie in a half of its image."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Bool
from torch import Tensor

from hwbench.protocols.completion import Half
from hwbench.protocols.data import Dataset


class HalvedDataset(Dataset):
    """A data set whose points are images, whatever the order of their units.

    An evaluator or a fit names it to learn which units it hides; it need not load it.
    """

    @abstractmethod
    def half(self, half: Half) -> Bool[Tensor, "d"]:
        """Return which units of a point lie in this half of its image or images."""
