"""A net that reads the digits of an image in their places; its weights are part of hwbench.

Dims: N images, P places, C classes of a window.
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.captions import NOTHING, PLACES

WEIGHTS = Path(__file__).with_name("reader.npz")
SIDE = 30  # height and width of an image, in pixels
WINDOW = 16  # height and width of a window; a digit has 14 and moves by at most 2
_CORNERS = {  # row and column of each place's window
    "left": (7, 0),
    "right": (7, 14),
    "top": (0, 7),
    "bottom": (14, 7),
    "top left": (0, 0),
    "bottom right": (14, 14),
    "top right": (0, 14),
    "bottom left": (14, 0),
}


class Reader(nn.Module):
    """A small convolutional net that classifies the digit in each place, or finds none.

    `tests/evaluators/train_reader.py` trained the weights in `reader.npz` on images of
    `captions.CaptionedMNIST` at half size, with grey and with drawn pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(24, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * (WINDOW // 4) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, NOTHING + 1),
        )

    def forward(self, windows: Float[Tensor, "*s y x"]) -> Float[Tensor, "*s c"]:
        """Return the logits of each window's classes: the ten digits and none."""
        shape = windows.shape[:-2]
        out: Tensor = self.net(windows.reshape(-1, 1, WINDOW, WINDOW))
        return out.view(*shape, -1)

    @torch.no_grad()
    def read(self, images: Float[Tensor, "n y x"]) -> Integer[Tensor, "n p"]:
        """Return the digit in each of `captions.PLACES`, or `captions.NOTHING`."""
        return self(windows_of(images)).argmax(2)


def windows_of(images: Float[Tensor, "n y x"]) -> Float[Tensor, "n p w w"]:
    """Return the window of each of `captions.PLACES`; images of another size are rescaled first."""
    images = images[:, None]
    if images.shape[-1] > SIDE:
        images = F.adaptive_avg_pool2d(images, SIDE)
    elif images.shape[-1] < SIDE:
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    corners = [_CORNERS[place] for place in PLACES]
    return torch.cat([images[:, :, r : r + WINDOW, c : c + WINDOW] for r, c in corners], 1)


@functools.cache
def _stored() -> tuple[str, bytes]:
    content = WEIGHTS.read_bytes()
    return hashlib.sha256(content).hexdigest(), content


def checksum() -> str:
    """Return the sha256 of the weights."""
    return _stored()[0]


def load_reader(sha256: str) -> Reader:
    """Return the reader with the weights that come with hwbench.

    Raises:
        ValueError: they have another checksum.
    """
    found, content = _stored()
    if found != sha256:
        raise ValueError(
            f"the reader's weights have sha256 {found}, not {sha256}; accuracies by another reader "
            "cannot be compared"
        )
    reader = Reader()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
    reader.load_state_dict(state)
    return reader.eval().requires_grad_(False)
