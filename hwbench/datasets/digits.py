"""The digits that come with scikit-learn: 8x8, no download."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.images import Points, present
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits

_TEST = 250


class Digits(Dataset):
    """Handwritten digits, 1797 images of 8x8 grey values (Alpaydin and Kaynak, 1998; UCI).

    For tests and smoke runs. Values 0 to 16 become 0 to 255. There is no published split: a
    permutation that is the same for every seed leaves 250 images for testing, the `validation`
    before them for validation, and the rest, 1297 unless told otherwise, for training.

    Args:
        pixels: fixed, dynamic, grey or threshold (see `images.present`).
        validation: number of validation points.
    """

    shape = (8, 8)
    classes = 10

    def __init__(
        self, pixels: Pixels = "dynamic", validation: Annotated[int, Field(ge=0, le=1000)] = 250
    ) -> None:
        self.pixels = pixels
        self.validation = validation

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` decides the draws of `dynamic` pixels."""
        from sklearn.datasets import load_digits

        raw = load_digits()
        order = torch.randperm(len(raw.data), generator=generator(0, "Digits", "split"))
        values = torch.from_numpy(raw.data * 255 / 16).round().to(torch.uint8)[order]
        labels = torch.from_numpy(raw.target)[order]
        pool = Points(values[:-_TEST], labels[:-_TEST])
        test = Points(values[-_TEST:], labels[-_TEST:])
        return present(
            "Digits", pool, test, pixels=self.pixels, validation=self.validation, seed=seed
        )
