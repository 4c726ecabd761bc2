"""Digits on a canvas, with a caption that names them and their places."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Integer, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hwbench.captions import (
    DIGITS,
    NOTHING,
    PLACES,
    SLOTS,
    TEMPLATES,
    VOCABULARY,
    WORDS,
    encode,
    sentence,
)
from hwbench.datasets.digits import Digits
from hwbench.datasets.images import Points, present
from hwbench.datasets.mnist import MNIST
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits

Count = Annotated[int, Field(ge=1)]
# Range of rows, and of columns, for the upper left corner of a 28-pixel digit on a canvas of 60.
_LOW, _MIDDLE_ROW, _HIGH_COLUMN, _HIGH_ROW = (0, 4), (16, 18), (28, 32), (30, 32)
_BOXES: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "left": (_MIDDLE_ROW, _LOW),
    "right": (_MIDDLE_ROW, _HIGH_COLUMN),
    "top": ((0, 2), _MIDDLE_ROW),
    "bottom": (_HIGH_ROW, _MIDDLE_ROW),
    "top left": ((0, 2), _LOW),
    "bottom right": (_HIGH_ROW, _HIGH_COLUMN),
    "top right": ((0, 2), _HIGH_COLUMN),
    "bottom left": (_HIGH_ROW, _LOW),
}
_ROOM = 60 - 28  # pixels by which such a digit can move


class Scenes(NamedTuple):
    """The content of images: the template of each, and the indices of its digits in a data set.

    The second digit is ignored if the template has only one place.
    """

    template: Integer[Tensor, " n"]
    digits: Integer[Tensor, "n 2"]


class _Captioned(Dataset):
    """Each point is a square image, followed by the one-hot codes of its caption's words.

    Attributes:
        canvas: side of an image, in pixels.
        digit: side of a digit, in pixels.
    """

    classes = 2
    canvas: int
    digit: int
    pixels: Pixels
    counts: tuple[int, int, int]

    def _set(self, pixels: Pixels, counts: tuple[int, int, int]) -> None:
        self.pixels, self.counts = pixels, counts
        self.shape = (self.canvas**2 + WORDS * len(VOCABULARY),)

    @abstractmethod
    def _digits(self) -> tuple[Points, Points, Points]:
        """Return the digits for training, validation and testing, [N, digit²]."""

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` determines the draws of `dynamic` pixels.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
        """
        n, validation, test = self.counts
        halves = ((n, 0), (validation, 0), (test - test // 2, test // 2))
        names = ("training", "validation", "test")
        parts = [
            _points(digits, self.digit, self.canvas, half, name)
            for digits, half, name in zip(self._digits(), halves, names, strict=True)
        ]
        pool = Points(*(torch.cat(both) for both in zip(*parts[:2], strict=True)))
        name = type(self).__name__
        return present(name, pool, parts[2], pixels=self.pixels, validation=validation, seed=seed)


class CaptionedMNIST(_Captioned):
    """One or two MNIST digits on a canvas, with a caption (Mansimov et al., 2016, section 4.2).

    Captions, canvas and places follow the authors' code (see `hwbench.captions`). Each of the
    twelve slots (the digit words of the templates) has a banned digit (`banned_digits`), which no
    training or validation image has in that slot. The label is 0 for a composition that may occur
    in training, and 1 for a held-out composition, which contains a banned digit. Half of the test
    points have each label; their digits are MNIST's test digits. Unlike in the code, images are not
    redrawn every epoch, and where two digits overlap, both remain.

    Args:
        pixels: fixed, dynamic, grey or threshold (see `images.present`); caption codes are always
            0 and 1.
        size: side of a digit: 28 on a canvas of 60, or 14 on a canvas of 30.
        images: number of training points.
        validation: number of validation points, from 5000 digits that are not used in training.
        test: number of test points.
    """

    files = MNIST.tiny().files

    def __init__(
        self,
        pixels: Pixels,
        size: Literal[28, 14] = 28,
        images: Count = 10000,
        validation: Count = 1000,
        test: Annotated[int, Field(ge=2)] = 2000,
    ) -> None:
        self.canvas, self.digit = 60 * size // 28, size
        self._set(pixels, (images, validation, test))

    @classmethod
    def tiny(cls) -> CaptionedMNIST:
        """Return an instance for the law tests."""
        return cls(pixels="dynamic", size=14, images=50)

    def _digits(self) -> tuple[Points, Points, Points]:
        return _grey(MNIST("grey", validation=5000).load(0))


class CaptionedDigits(_Captioned):
    """`CaptionedMNIST` with the digits of scikit-learn, 8x8 on a canvas of 20x20, for smoke runs.

    Args:
        pixels: fixed, dynamic, grey or threshold (see `images.present`).
        images: number of training points.
        validation: number of validation points.
        test: number of test points.
    """

    canvas = 20
    digit = 8

    def __init__(
        self,
        pixels: Pixels = "dynamic",
        images: Count = 1000,
        validation: Count = 100,
        test: Annotated[int, Field(ge=2)] = 200,
    ) -> None:
        self._set(pixels, (images, validation, test))

    def _digits(self) -> tuple[Points, Points, Points]:
        return _grey(Digits("grey").load(0))


def banned_digits() -> list[int]:
    """Return the banned digit of each of `SLOTS`; `NOTHING` means that none is banned.

    Each is drawn from these eleven values, as in the authors' code, and is the same in every run.
    """
    draws = generator(0, "CaptionedDigits", "banned")
    return torch.randint(DIGITS + 1, (len(SLOTS),), generator=draws).tolist()


def is_held_out(
    template: Integer[Tensor, " n"], classes: Integer[Tensor, "n 2"], banned: Sequence[int]
) -> Bool[Tensor, " n"]:
    """Return whether captions, given as templates and digits, have a banned digit in its slot."""
    out = torch.zeros(len(template), dtype=torch.bool)
    for (own, i), digit in zip(SLOTS, banned, strict=True):
        if digit != NOTHING:
            out |= (template == own) & (classes[:, i] == digit)
    return out


def draw_scenes(
    labels: Integer[Tensor, " m"], n: int, held_out: bool, draws: torch.Generator
) -> Scenes:
    """Return n random scenes, either all with a banned digit or all without.

    Args:
        labels: classes of the digits to choose from.
        n: number of scenes.
        held_out: whether each scene has at least one digit that is banned in its slot.
        draws: source of random numbers.
    """
    banned = banned_digits()
    found: list[Scenes] = []
    while not found or sum(len(scenes.template) for scenes in found) < n:
        template = torch.randint(len(TEMPLATES), (4 * n,), generator=draws)
        digits = torch.randint(len(labels), (4 * n, 2), generator=draws)
        kept = is_held_out(template, labels[digits], banned) == held_out
        found.append(Scenes(template[kept], digits[kept]))
    template, digits = (torch.cat(parts)[:n] for parts in zip(*found, strict=True))
    return Scenes(template, digits)


def place_bounds(place: str, canvas: int, size: int) -> list[tuple[int, int]]:
    """Return the range of rows, then of columns, for the upper left corner of a digit.

    >>> place_bounds("right", 60, 28), place_bounds("right", 30, 14)
    ([(16, 18), (28, 32)], [(8, 9), (14, 16)])
    """
    scale = (canvas - size) / _ROOM
    return [(round(scale * low), round(scale * high)) for low, high in _BOXES[place]]


def paint(
    scenes: Scenes, images: UInt8[Tensor, "m s s"], canvas: int, draws: torch.Generator
) -> UInt8[Tensor, "n d"]:
    """Return grey images of the scenes, each digit at a random position within its place.

    Two digits of an image are aligned. Where their squares overlap, the brighter pixel is kept.
    """
    size = images.shape[-1]
    bounds = {place: place_bounds(place, canvas, size) for place in PLACES}
    places = list(TEMPLATES.values())
    jitter = torch.rand(len(scenes.template), 3, generator=draws).tolist()
    out = torch.zeros(len(scenes.template), canvas, canvas, dtype=torch.uint8)
    rows = zip(out, scenes.template.tolist(), scenes.digits.tolist(), jitter, strict=True)
    for image, template, digits, (across, *along) in rows:
        for place, digit, own in zip(places[template], digits, along, strict=False):
            shares = (own, across) if place in ("top", "bottom") else (across, own)
            top, left = (
                low + int(share * (high - low + 1))
                for (low, high), share in zip(bounds[place], shares, strict=True)
            )
            part = image[top : top + size, left : left + size]
            torch.maximum(part, images[digit], out=part)
    return out.flatten(1)


def _grey(splits: Splits) -> tuple[Points, Points, Points]:
    train, validation, test = splits
    assert validation is not None
    return (
        Points(train.values, train.labels),
        Points(validation.values, validation.labels),
        Points(test.values, test.labels),
    )


def _points(digits: Points, size: int, canvas: int, halves: tuple[int, int], name: str) -> Points:
    """Return captioned images: `halves[0]` seen compositions, then `halves[1]` held-out ones."""
    assert digits.labels is not None
    side = math.isqrt(digits.values.shape[1])
    images = digits.values.view(-1, side, side)
    if side != size:
        smaller = F.avg_pool2d(images[:, None].float(), side // size)[:, 0]
        images = smaller.round().to(torch.uint8)
    values = []
    for held_out, n in enumerate(halves):
        draws = generator(0, "CaptionedDigits", name, held_out)
        scenes = draw_scenes(digits.labels, n, bool(held_out), draws)
        classes = digits.labels[scenes.digits].tolist()
        texts = [sentence(t, c) for t, c in zip(scenes.template.tolist(), classes, strict=True)]
        codes = encode(texts).flatten(1).to(torch.uint8) * 255
        values.append(torch.cat([paint(scenes, images, canvas, draws), codes], 1))
    labels = torch.arange(2).repeat_interleave(torch.tensor(halves))
    return Points(torch.cat(values), labels)
