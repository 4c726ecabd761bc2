"""Small NORB: stereo pairs of toys in five categories."""

# Dims: N pairs of pictures, S side of a picture, V inputs from a picture.

from __future__ import annotations

import functools
import struct
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.real import only_grey, real_points
from hwbench.numerics import generator
from hwbench.protocols import Dataset, Pixels, Splits, TestSplit, TrainSplit, ValidationSplit

SIDE, CATEGORIES = 96, 5
RINGS = (8, 4, 2, 2)  # pixels; widths of the rings around the fovea, from outside to inside
SHIFTS = (-6, -4, -2, 0, 2, 4, 6)  # pixels; they make 7 · 7 − 1 = 48 translations
_KINDS: dict[int, np.dtype[np.uint8 | np.int32]] = {
    0x1E3D4C55: np.dtype(np.uint8),
    0x1E3D4C54: np.dtype("<i4"),
}
_NAMES = ("5x46789x9x18x6x2x96x96-training", "5x01235x9x18x6x2x96x96-testing")


def read_matrix(name: str) -> Shaped[np.ndarray, " ..."]:
    """Return the array in a file of NORB's own format, of bytes or of 32-bit integers.

    Such a file starts with little-endian 32-bit integers: a magic number for the type of the
    values, the number of dimensions, and the dimensions, at least three of them, padded with 1. The
    values follow in C order.

    Raises:
        DataMissing: the file is unavailable.
        files.DataCorrupt: its format or its checksum is wrong.
    """
    raw = files.read(name)
    magic, rank = struct.unpack_from("<II", raw) if len(raw) >= 8 else (0, 0)
    if magic not in _KINDS:
        kinds = " or ".join(f"{each:#x}" for each in _KINDS)
        raise files.wrong(name, f"the magic number of a matrix is {kinds}; found {magic:#x}")
    start = 8 + 4 * max(3, rank)
    if not 1 <= rank <= 4 or len(raw) < start:
        raise files.wrong(name, f"a header of 1 to 4 dimensions expected; found {rank}, or its end")
    shape = struct.unpack_from(f"<{rank}I", raw, 8)
    kind = _KINDS[magic]
    if len(raw) - start != (size := int(np.prod(shape)) * kind.itemsize):
        found = f"{len(raw) - start} bytes of values"
        raise files.wrong(name, f"{found} where a matrix of {shape} has {size}")
    return np.frombuffer(raw, kind, offset=start).reshape(shape)


def read_part(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs of pictures [N, 2·96·96] uint8, their categories [N] and instances [N].

    Raises:
        DataMissing: a file is unavailable.
        files.DataCorrupt: a file's checksum is wrong, or the files do not match each other.
    """
    dat, cat, info = (f"norb/smallnorb-{name}-{part}.mat" for part in ("dat", "cat", "info"))
    images, labels, about = read_matrix(dat), read_matrix(cat), read_matrix(info)
    if images.dtype != np.uint8 or images.shape[1:] != (2, SIDE, SIDE):
        found = f"{images.dtype} of {images.shape}"
        raise files.wrong(dat, f"bytes of (N, 2, {SIDE}, {SIDE}) expected, {found} found")
    n = len(images)
    for of, shape, expected in ((cat, labels.shape, (n,)), (info, about.shape, (n, 4))):
        if shape != expected:
            raise files.wrong(of, f"{shape} values for the {n} pairs of {dat}")
    if n and not 0 <= labels.min() <= labels.max() < CATEGORIES:
        raise files.wrong(cat, f"categories are 0 to 4; found {labels.min()} to {labels.max()}")
    values = torch.from_numpy(images.reshape(n, -1).copy())
    categories, instances = (torch.from_numpy(v.astype(np.int64)) for v in (labels, about[:, 0]))
    return values, categories, instances


def foveate(images: Float[Tensor, "*n s s"]) -> Float[Tensor, "*n v"]:
    """Return the middle of each picture unchanged, and the means of blocks in the rings around it.

    Salakhutdinov & Hinton (2009) keep the central 64 x 64 of 96 x 96 pixels. The rings around them,
    8, 4, 2 and 2 pixels wide from outside to inside, are averaged over blocks of 8 x 8, 4 x 4,
    2 x 2 and 2 x 2. The middle comes first, then the rings from the outermost, each row by row.

    >>> foveate(torch.zeros(2, 96, 96)).shape
    torch.Size([2, 4488])
    """
    pixels, middle = images.flatten(-2), sum(RINGS)
    rings = [pixels[..., blocks.to(images.device)].mean(-1) for blocks in _rings()]
    return torch.cat([images[..., middle:-middle, middle:-middle].flatten(-2), *rings], -1)


@functools.cache
def _rings() -> list[Tensor]:
    """Return for each ring the pixel indices of its blocks, [blocks, width²]."""
    rings, inner = [], torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    for width in RINGS:
        blocks = inner.unfold(0, width, width).unfold(1, width, width).flatten(2)
        edge = torch.ones(blocks.shape[:2], dtype=torch.bool)
        edge[1:-1, 1:-1] = False
        rings.append(blocks[edge])
        inner = inner[width:-width, width:-width]
    return rings


def _both_eyes(images: Tensor) -> Tensor:
    return foveate(images).flatten(1)


class RawNORB(Dataset):
    """Small NORB, normalised-uniform (LeCun, Huang & Bottou, 2004): 24300 stereo pairs 96x96.

    The set contains ten toys of each of five categories (animal, human, plane, truck, car), under 6
    lightings from 9 elevations and 18 azimuths. Five toys of each are for training, and the other
    five, also 24300 pairs, for testing. There are no published validation points. Here they are
    pictures of one toy of each category, the same for every seed (drawn by `numerics.stream`
    (0, "NORB", "validation")), since other pictures of a training toy would say little about new
    toys. The other pictures of these toys are then not used for training.

    Args:
        pixels: grey; values are real, here from 0 to 1.
        validation: number of validation points; with 0, all five toys train.
    """

    classes = CATEGORIES
    files = tuple(
        f"norb/smallnorb-{name}-{part}.mat" for name in _NAMES for part in ("dat", "cat", "info")
    )
    shape: tuple[int, ...] = (2, SIDE, SIDE)

    def __init__(
        self, pixels: Pixels = "grey", validation: Annotated[int, Field(ge=0, le=4860)] = 0
    ) -> None:
        only_grey(pixels, type(self).__name__)
        self.pixels, self.validation = pixels, validation

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
            ValueError: there are fewer validation points than requested.
        """
        (values, labels, instances), (test, test_labels, _) = map(read_part, _NAMES)
        held_out = torch.zeros(len(values), dtype=torch.bool)
        validation = None
        if self.validation:
            draws = generator(0, "NORB", "validation")
            held_out = _of_one_toy_each(labels, instances, draws)
            index = held_out.nonzero()[:, 0]
            if len(index) < self.validation:
                raise ValueError(
                    f"{type(self).__name__}: {self.validation} validation points asked for, the "
                    f"toys held out have {len(index)}"
                )
            index = index[torch.randperm(len(index), generator=draws)[: self.validation]]
            validation = ValidationSplit(values[index], labels[index], 255.0)
        train = TrainSplit(values[~held_out], labels[~held_out], 255.0)
        return Splits(train, validation, TestSplit(test, test_labels, 255.0))


class SmallNORB(RawNORB):
    """`RawNORB`, foveated and standardised: 2 x 4488 inputs (see `foveate`).

    Each input is centred by its mean, and all are scaled to unit variance by one factor, both
    computed on the training points.

    Args:
        pixels: grey; values are real.
        validation: number of validation points; with 0, all five toys train.
        translations: remove the labels of training points, and move them by −6, −4, −2, 0, 2, 4 or
            6 pixels in both directions at each presentation: 48 · 24300 pairs in addition to the
            24300. Fits to labels get the labelled points, which do not move.
    """

    shape = (2 * 4488,)

    def __init__(
        self,
        pixels: Pixels = "grey",
        validation: Annotated[int, Field(ge=0, le=4860)] = 0,
        translations: bool = False,
    ) -> None:
        super().__init__(pixels, validation)
        self.translations = translations

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed; it raises the same errors as `RawNORB`."""
        shifts = SHIFTS if self.translations else ()
        return real_points(super().load(seed), (2, SIDE, SIDE), _both_eyes, shifts)


def _of_one_toy_each(labels: Tensor, instances: Tensor, draws: torch.Generator) -> Tensor:
    """Return a mask [N] of the pairs that show the toy drawn for their category."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for category in labels.unique():
        toys = instances[labels == category].unique()
        toy = toys[torch.randint(len(toys), (1,), generator=draws)]
        chosen |= (labels == category) & (instances == toy)
    return chosen
