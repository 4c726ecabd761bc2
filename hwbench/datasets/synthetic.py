"""Small generators whose distributions are known exactly."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.images import Points, cut, only_fixed
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits

_SIZES = (1000, 200, 500)


class Bars(Dataset):
    """Bars and stripes (MacKay, 2003, chapter 43): all rows, or all columns, are on or off.

    Rows or columns are chosen with probability 1/2; then each line is on with probability 1/2. The
    1000 training, 200 validation and 500 test points are the same for every seed, and some are
    equal.

    Args:
        side: height and width.
        pixels: fixed; the set is binary by nature.
    """

    def __init__(
        self, side: Annotated[int, Field(ge=2, le=16)] = 4, pixels: Pixels = "fixed"
    ) -> None:
        only_fixed(pixels, "Bars")
        self.side = side
        self.pixels = pixels
        self.shape = (side, side)

    def entropy(self) -> float:
        """Return the entropy in nats: minus the highest mean log-likelihood that a model can reach.

        All on and all off have probability 2^-side each, and every other pattern has half of that.
        """
        p = 2.0**-self.side
        others = 2 ** (self.side + 1) - 4
        return -2 * p * math.log(p) - others * (p / 2) * math.log(p / 2)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        draws = generator(0, "Bars", self.side)
        n = sum(_SIZES)
        lines = torch.randint(2, (n, 1, self.side), generator=draws, dtype=torch.uint8)
        images = lines.expand(n, self.side, self.side)
        upright = torch.randint(2, (n, 1, 1), generator=draws).bool()
        x = torch.where(upright, images, images.mT).flatten(1)
        train, validation, _ = _SIZES
        pool, test = Points(x[: train + validation]), Points(x[train + validation :])
        return cut(pool, test, validation=validation)
