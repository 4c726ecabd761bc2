"""Bouncing balls: sequences of binary frames from our own simulator."""

# Dims: N sequences, M balls, T frames, S side of a frame.

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from hwbench.datasets.images import Points, cut, only_fixed
from hwbench.numerics import stream
from hwbench.protocols import Dataset, Pixels, Splits

BOX = 10.0  # side of the box
SUBSTEPS = 5  # steps per frame
Floats = NDArray[np.float64]


def simulate(
    sequences: int, frames: int, balls: int, radius: float, speed: float, seed: int
) -> Floats:
    """Return positions [N, T, M, 2] of equal balls that bounce off the walls and each other.

    Balls start at random places without overlap, in random directions, all at `speed` (in units of
    a tenth of the box's side per frame). Collisions are elastic: two balls exchange the velocities
    along the line of their centres. All arithmetic is elementwise in float64, so all machines
    produce the same balls.

    Raises:
        ValueError: the balls do not fit without overlap.
    """
    draws = np.random.Generator(np.random.PCG64(stream(seed, "balls", sequences, balls)))
    x = _start(sequences, balls, radius, draws).transpose(2, 1, 0).copy()  # [2, M, N] is fast.
    v = _directions(sequences, balls, draws).transpose(2, 1, 0) * speed
    out = np.empty((sequences, frames, balls, 2))
    for t in range(frames):
        out[:, t] = x.transpose(2, 1, 0)
        for _ in range(SUBSTEPS):
            x += v / SUBSTEPS
            v = np.where(x < radius, np.abs(v), np.where(x > BOX - radius, -np.abs(v), v))
            for i, j in combinations(range(balls), 2):
                _collide(x[:, i] - x[:, j], v[:, i], v[:, j], radius)
    return out


def _start(sequences: int, balls: int, radius: float, draws: np.random.Generator) -> Floats:
    x = draws.uniform(radius, BOX - radius, (sequences, balls, 2))
    for _ in range(1000):
        clash = np.zeros(sequences, dtype=bool)
        for i, j in combinations(range(balls), 2):
            dx, dy = (x[:, i] - x[:, j]).T
            clash |= dx * dx + dy * dy < 4 * radius * radius
        if not clash.any():
            return x
        x[clash] = draws.uniform(radius, BOX - radius, (int(clash.sum()), balls, 2))
    raise ValueError(f"{balls} balls of radius {radius:g} do not fit into a box of side {BOX:g}")


def _directions(sequences: int, balls: int, draws: np.random.Generator) -> Floats:
    """Return unit vectors with uniform directions, by rejection of points outside the circle."""
    v = draws.uniform(-1, 1, (sequences * balls, 2))
    while True:
        squared = v[:, 0] * v[:, 0] + v[:, 1] * v[:, 1]
        outside = (squared > 1) | (squared < 0.01)
        if not outside.any():
            return (v / np.sqrt(squared)[:, None]).reshape(sequences, balls, 2)
        v[outside] = draws.uniform(-1, 1, (int(outside.sum()), 2))


def _collide(apart: Floats, v: Floats, w: Floats, radius: float) -> None:
    """Exchange velocities v and w along `apart`, all [2, N], for overlapping, approaching balls."""
    squared = apart[0] * apart[0] + apart[1] * apart[1]
    hit = squared < 4 * radius * radius
    if not hit.any():
        return
    approach = apart[0] * (v[0] - w[0]) + apart[1] * (v[1] - w[1])
    hit &= approach < 0
    change = np.where(hit, approach / np.maximum(squared, 1e-12), 0.0) * apart
    v -= change
    w += change


def render(positions: Floats, radius: float, side: int) -> NDArray[np.uint8]:
    """Return frames [N, T, S, S]; a pixel is on if its centre lies within a ball."""
    centre = (np.arange(side) + 0.5) * (BOX / side)
    frames = np.zeros((*positions.shape[:2], side, side), dtype=np.uint8)
    for sequence, out in zip(positions, frames, strict=True):
        for ball in range(positions.shape[2]):
            squares = np.square(centre[:, None] - sequence[:, ball, None])  # [T, S, (x, y)]
            out |= squares[:, :, None, 1] + squares[:, None, :, 0] < radius * radius
    return frames


class BouncingBalls(Dataset):
    """Sequences of `balls` balls in a box (after Sutskever & Hinton, 2008), simulated here.

    A point is one sequence of consecutive frames; `shape` is (frames, side, side). The sequences
    are the same for every seed. Unlike the original frames, these are binary, so Bernoulli
    likelihoods are valid.

    Args:
        pixels: fixed; the set is binary by nature.
        balls: number of balls.
        side: height and width of a frame.
        frames: frames per sequence.
        radius: radius of a ball, in a box of side 10.
        speed: speed of a ball per frame, in the same unit.
        sequences: number of training sequences; a tenth as many, but at least one, are for
            validation, and equally many for testing.
    """

    def __init__(
        self,
        pixels: Pixels = "fixed",
        balls: Annotated[int, Field(ge=1, le=10)] = 3,
        side: Annotated[int, Field(ge=2, le=100)] = 15,
        frames: Annotated[int, Field(ge=2)] = 50,
        radius: Annotated[float, Field(gt=0, lt=BOX / 2)] = 1.2,
        speed: Annotated[float, Field(gt=0, le=BOX)] = 0.5,
        sequences: Annotated[int, Field(ge=1)] = 2000,
    ) -> None:
        only_fixed(pixels, "BouncingBalls")
        self.pixels = pixels
        self.balls, self.radius, self.speed, self.sequences = balls, radius, speed, sequences
        self.shape = (frames, side, side)

    @classmethod
    def tiny(cls) -> BouncingBalls:
        """Return four frames of 3 x 3 pixels with one ball."""
        return cls(balls=1, side=3, frames=4, radius=2.5, speed=2.0, sequences=20)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed."""
        held_out = max(1, self.sequences // 10)
        n, (frames, side, _) = self.sequences + 2 * held_out, self.shape
        positions = simulate(n, frames, self.balls, self.radius, self.speed, seed=0)
        x = torch.from_numpy(render(positions, self.radius, side).reshape(n, -1))
        return cut(Points(x[:-held_out]), Points(x[-held_out:]), validation=held_out)
