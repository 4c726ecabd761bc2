"""NORB with the inputs of one half of both pictures first, for completion."""

# Dims: N pairs of pictures, S side of a picture, V inputs from a picture.

from __future__ import annotations

import functools
from typing import Annotated

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.datasets.norb import SIDE, RawNORB, foveate
from hwbench.datasets.real import only_grey, real_points
from hwbench.protocols import Half, Pixels, Splits, half_of


def order_of(half: Half) -> Integer[Tensor, " v"]:
    """Return the inputs of a foveated picture, those of a half first.

    A half is clamped before foveation. No block of pixels lies in both halves.

    >>> order_of("left").shape
    torch.Size([4488])
    """
    inside = foveate(half_of(half, SIDE * SIDE).view(SIDE, SIDE).float())
    assert bool(((inside == 0) | (inside == 1)).all()), "a block lies in both halves"
    return torch.cat([inside.nonzero()[:, 0], (inside == 0).nonzero()[:, 0]])


class HalvedNORB(RawNORB):
    """`norb.SmallNORB` in another order: the inputs of one half of both pictures, then the others.

    So `shape` is (2, 4488), and to see the `top` of such a point is to see that half of both
    pictures. Each input is centred by its mean, and all are scaled to unit variance by one factor.

    Args:
        pixels: grey; values are real.
        validation: number of validation points; with 0, all five toys train.
        half: the half that comes first.
    """

    shape = (2, 4488)

    def __init__(
        self,
        pixels: Pixels = "grey",
        validation: Annotated[int, Field(ge=0, le=4860)] = 0,
        half: Half = "left",
    ) -> None:
        only_grey(pixels, "HalvedNORB")
        super().__init__(pixels, validation)
        self.half = half

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed; it raises the same errors as `RawNORB`."""
        view = functools.partial(halved, order_of(self.half))
        return real_points(super().load(seed), (2, SIDE, SIDE), view, ())


def halved(order: Integer[Tensor, " v"], images: Float[Tensor, "n p s s"]) -> Tensor:
    """Return the foveated pictures, [N, P V]: first halves of all pictures, then second halves."""
    first, second = foveate(images)[..., order].chunk(2, -1)
    return torch.cat([first.flatten(1), second.flatten(1)], 1)
