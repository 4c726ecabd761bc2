"""OMNIGLOT 28x28: the images of the IWAE paper, and a stand-in reduced from the same drawings."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Num, UInt8
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.images import Points, present
from hwbench.protocols import Dataset, Pixels, Splits


def from_columns(matrix: Num[np.ndarray, "d n"]) -> UInt8[Tensor, "n d"]:
    """Return images from MATLAB's columns, in column-major order, as rows in row-major order.

    Args:
        matrix: [784, N], ink from 0 to 1, which is rounded to multiples of 1/255.
    """
    ink = np.rint(matrix.T * 255).astype(np.uint8)
    return torch.from_numpy(ink.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784))


class Omniglot(Dataset):
    """Handwritten characters of 50 alphabets 28x28 (Lake et al., 2015) as in Burda et al. (2016).

    Of 24345 images, the last 1345 of a permutation (numpy's RandomState, seed 123) are for
    validation, as in that paper's code; 8070 more are for testing. There are no labels.

    Args:
        pixels: fixed (our own draw, since none is published), dynamic, grey or threshold (see
            `images.present`).
        validation: number of validation points, 0 for none.
    """

    shape = (28, 28)
    files = ("omniglot/chardata.mat",)

    def __init__(
        self, pixels: Pixels, validation: Annotated[int, Field(ge=0, lt=24000)] = 1345
    ) -> None:
        self.pixels = pixels
        self.validation = validation

    @classmethod
    def tiny(cls) -> Omniglot:
        """Return an instance for the law tests."""
        return cls(pixels="dynamic")

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` determines the draws of `dynamic` pixels.

        Raises:
            DataMissing: the file is not on this machine and cannot be fetched.
            files.DataCorrupt: its checksum is wrong.
        """
        from scipy.io import loadmat

        found = loadmat(str(files.fetch(self.files[0])), variable_names=["data", "testdata"])
        pool = from_columns(found["data"])
        order = np.random.RandomState(123).permutation(len(pool))
        return present(
            "Omniglot",
            Points(pool[torch.from_numpy(order)]),
            Points(from_columns(found["testdata"])),
            pixels=self.pixels,
            validation=self.validation,
            seed=seed,
        )


class OmniglotDrawings(Dataset):
    """A stand-in for OMNIGLOT: its 32460 original drawings, reduced to 28x28 by us.

    Characters, drawers' number and sizes are those of the IWAE paper's file: 24345 images of the
    first 15 drawers for training and 8070 of the last five for testing (of one alphabet the last
    drawer is left out). Which drawers that file holds, and how it was reduced, is unknown, so
    likelihoods are not comparable with those published. There are no labels.

    Args:
        pixels: fixed (our own draw), dynamic, grey or threshold (see `images.present`).
        validation: number of validation points, 0 for none.
    """

    shape = (28, 28)
    files = ("omniglot/omniglot28_full.npz",)
    departs = "the same drawings, reduced in another way and perhaps by other drawers"

    def __init__(
        self, pixels: Pixels, validation: Annotated[int, Field(ge=0, lt=24000)] = 1345
    ) -> None:
        self.pixels = pixels
        self.validation = validation

    @classmethod
    def tiny(cls) -> OmniglotDrawings:
        """Return an instance for the law tests."""
        return cls(pixels="dynamic")

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` determines the draws of `dynamic` pixels.

        Raises:
            DataMissing: the file is not on this machine.
            files.DataCorrupt: its checksum is wrong.
        """
        found = files.arrays(self.files[0])
        x, split = torch.from_numpy(found["x"]).flatten(1), torch.from_numpy(found["split"])
        pool = x[split == 0]
        order = np.random.RandomState(123).permutation(len(pool))
        return present(
            "OmniglotDrawings",
            Points(pool[torch.from_numpy(order)]),
            Points(x[split == 1]),
            pixels=self.pixels,
            validation=self.validation,
            seed=seed,
        )
