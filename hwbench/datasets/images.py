"""Presentation of pixels, in the same four ways for every set of grey images.

Dims: N points, D observed units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from hwbench.numerics import generator
from hwbench.protocols import Pixels, Splits, TestSplit, TrainSplit, ValidationSplit

_CHUNK = 4096  # images drawn at once, to limit memory


class Points(NamedTuple):
    """Images as stored in a file: `values` [N, D], 0 to 255 or 0/1, and `labels` [N] or None."""

    values: UInt8[Tensor, "n d"]
    labels: Integer[Tensor, " n"] | None = None


def bernoulli(values: UInt8[Tensor, "n d"], draws: torch.Generator) -> UInt8[Tensor, "n d"]:
    """Return x ~ Bernoulli(value / 255) for every pixel.

    >>> bernoulli(torch.tensor([[0, 255]], dtype=torch.uint8), torch.Generator()).tolist()
    [[0, 1]]
    """
    out = torch.empty_like(values)
    for part, grey in zip(out.split(_CHUNK), values.split(_CHUNK), strict=True):
        part.copy_(torch.rand(grey.shape, generator=draws) < grey.float() / 255)
    return out


def cut(
    pool: Points, test: Points, *, validation: int, scale: float = 1.0, resample: bool = False
) -> Splits:
    """Return the splits; the last `validation` points of the pool are for validation (0: none).

    `resample` applies to training points only.

    Raises:
        ValueError: no training points would remain.
    """
    n = len(pool.values) - validation
    if not 0 < n <= len(pool.values):
        found = f"{validation} validation points"
        raise ValueError(f"{found} cannot be cut from {len(pool.values)} training points")
    labels = pool.labels
    train = TrainSplit(pool.values[:n], None if labels is None else labels[:n], scale, resample)
    held_out = None
    if validation:
        held_out = ValidationSplit(pool.values[n:], None if labels is None else labels[n:], scale)
    return Splits(train, held_out, TestSplit(test.values, test.labels, scale))


def present(
    name: str, pool: Points, test: Points, *, pixels: Pixels, validation: int, seed: int
) -> Splits:
    """Return the splits of grey images with their pixels presented in one of four ways.

    fixed      one Bernoulli draw of all images, the same for every seed, before validation points
               are split off: `numerics.stream` (0, name, "pixels", "fixed", "train" or "test")
    dynamic    training points stay grey and are drawn at each presentation; the other parts are
               drawn once: `numerics.stream` (seed, name, "pixels", "validation" or "test")
    grey       values / 255 everywhere; Bernoulli formulas then give a score, not a likelihood
    threshold  1 above 127, else 0

    Args:
        name: name of the data set, part of the streams' names.
        pool: training and validation points.
        test: test points.
        pixels: one of the four presentations.
        validation: number of points at the end of the pool that are for validation.
        seed: the run's seed; affects only `dynamic`.

    Raises:
        ValueError: no training points would remain.
    """
    if pixels == "grey":
        return cut(pool, test, validation=validation, scale=255.0)
    if pixels == "dynamic":
        grey = cut(pool, test, validation=validation, scale=255.0, resample=True)
        if grey.validation is not None:
            draws = generator(seed, name, "pixels", "validation")
            values = bernoulli(grey.validation.values, draws)
            grey = grey._replace(validation=ValidationSplit(values, grey.validation.labels))
        values = bernoulli(test.values, generator(seed, name, "pixels", "test"))
        return grey._replace(test=TestSplit(values, test.labels))
    if pixels == "threshold":
        pool, test = (p._replace(values=(p.values > 127).to(torch.uint8)) for p in (pool, test))
    else:
        for_all = [generator(0, name, "pixels", "fixed", part) for part in ("train", "test")]
        pool, test = (
            p._replace(values=bernoulli(p.values, draws))
            for p, draws in zip((pool, test), for_all, strict=True)
        )
    return cut(pool, test, validation=validation)


def only_fixed(pixels: Pixels, name: str) -> None:
    """Raise ValueError if the pixels of a set that is binary by nature are not `fixed`."""
    if pixels != "fixed":
        raise ValueError(f"{name} is binary by nature: pixels must be fixed (found {pixels})")
