"""Which units of real-valued images lie in a half of the image, for completion."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from hwbench.datasets.digits import RealDigits
from hwbench.datasets.norb import SIDE, SmallNORB, foveate
from hwbench.protocols import Half, HalvedDataset, half_of


class HalvedNORB(SmallNORB, HalvedDataset):
    """`norb.SmallNORB`, and which of its inputs see a half of both pictures.

    Pictures are halved before foveation. No block of pixels lies in both halves, so each input
    sees only one of them.

    Args:
        pixels: grey.
        validation, translations: as in `norb.SmallNORB`.
    """

    def half(self, half: Half) -> Bool[Tensor, "d"]:
        """Return which inputs see this half of the first or of the second picture.

        >>> HalvedNORB().half("left").sum().item() == 2 * 4488 // 2
        True
        """
        seen = foveate(half_of(half, SIDE * SIDE).view(SIDE, SIDE).float())
        assert bool(((seen == 0) | (seen == 1)).all()), "a block lies in both halves"
        return torch.cat([seen, seen]).bool()


class HalvedDigits(RealDigits, HalvedDataset):
    """`digits.RealDigits`, and which of its pixels lie in a half; for smoke runs.

    Args:
        pixels: grey.
        validation, translations: as in `digits.RealDigits`.
    """

    def half(self, half: Half) -> Bool[Tensor, "d"]:
        """Return which pixels lie in this half."""
        return half_of(half, 64)
