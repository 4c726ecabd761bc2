"""The digits of scikit-learn: 8x8, without a download."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from hwbench.datasets.images import Points, present
from hwbench.datasets.real import only_grey, real_points
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits

_TEST = 250


class Digits(Dataset):
    """Handwritten digits, 1797 images of 8x8 grey values (Alpaydin and Kaynak, 1998; UCI).

    They serve tests and smoke runs. Values 0 to 16 become 0 to 255. There is no published split.
    After a permutation that is the same for every seed, the last 250 images are for testing, the
    `validation` images before them for validation, and the rest, by default 1297, for training.

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
        """Return the splits; `seed` determines the draws of `dynamic` pixels."""
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


class RealDigits(Dataset):
    """`Digits` as real values: each pixel centred by its mean, all scaled to unit variance.

    They serve smoke runs of models with real observed units. Means and scale come from the training
    points.

    Args:
        pixels: grey; values are real.
        validation: number of validation points.
        translations: remove the labels of training points, and move them by up to one pixel in both
            directions at each presentation; fits to labels get the labelled points without
            translation.
    """

    shape = (8, 8)
    classes = 10

    def __init__(
        self,
        pixels: Pixels = "grey",
        validation: Annotated[int, Field(ge=0, le=1000)] = 250,
        translations: bool = False,
    ) -> None:
        only_grey(pixels, "RealDigits")
        self.pixels, self.validation, self.translations = pixels, validation, translations

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        raw = Digits("grey", self.validation).load(seed)
        return real_points(raw, (1, 8, 8), _flat, (-1, 0, 1) if self.translations else ())


def _flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)
