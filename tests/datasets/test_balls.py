import hashlib

import numpy as np
import pytest

from hwbench.datasets.balls import BOX, BouncingBalls, render, simulate

RADIUS, SPEED = 1.2, 0.5


@pytest.fixture(scope="module")
def positions():
    return simulate(200, 60, 3, RADIUS, SPEED, seed=0)


def test_balls_stay_inside_and_apart(positions):
    """Up to one substep's motion, beyond which a wall or a ball turns them."""
    step = 2 * SPEED / 5
    assert positions.min() > RADIUS - step
    assert positions.max() < BOX - RADIUS + step
    for i in range(3):
        for j in range(i):
            distance = np.linalg.norm(positions[:, :, i] - positions[:, :, j], axis=-1)
            # two walls and a ball can press for a few substeps
            assert (distance > 2 * RADIUS - 2 * step).mean() > 0.999
            assert distance.min() > RADIUS


def test_energy_is_kept():
    """Free flight is at the speed given; collisions conserve the sum of squared velocities."""
    positions = simulate(300, 40, 2, RADIUS, SPEED, seed=1)
    v = np.diff(positions, axis=1)
    speed = np.linalg.norm(v, axis=-1)
    free = (
        ((positions[:, 1:] > RADIUS + 1) & (positions[:, 1:] < BOX - RADIUS - 1)).all((2, 3))
        & ((positions[:, :-1] > RADIUS + 1) & (positions[:, :-1] < BOX - RADIUS - 1)).all((2, 3))
        & (np.linalg.norm(positions[:, 1:, 0] - positions[:, 1:, 1], axis=-1) > 2 * RADIUS + 1)
        & (np.linalg.norm(positions[:, :-1, 0] - positions[:, :-1, 1], axis=-1) > 2 * RADIUS + 1)
    )
    assert free.sum() > 500
    energy = (speed**2).sum(-1)[free]
    np.testing.assert_allclose(energy, 2 * SPEED**2, rtol=1e-9)
    one = simulate(50, 40, 1, RADIUS, SPEED, seed=1)
    inside = ((one > RADIUS + 1) & (one < BOX - RADIUS - 1)).all((2, 3))
    speed = np.linalg.norm(np.diff(one, axis=1), axis=-1)[..., 0]
    np.testing.assert_allclose(speed[inside[:, 1:] & inside[:, :-1]], SPEED, rtol=1e-9)


def test_balls_do_collide(positions):
    """Speeds of single balls change, which walls alone cannot do."""
    v = np.linalg.norm(np.diff(positions, axis=1), axis=-1)
    assert (v > 1.2 * SPEED).any()


def test_a_pixel_is_on_within_a_ball():
    frames = render(np.array([[[[2.5, 7.5]]]]), 2.6, 4)  # pixel centres at 1.25, 3.75, 6.25, 8.75
    expected = np.zeros((4, 4), dtype=np.uint8)
    expected[2:, :2] = 1  # rows are y, columns x
    np.testing.assert_array_equal(frames[0, 0], expected)


def test_the_data_are_the_same_everywhere():
    """The digest of the first sequences; it must never change, or results could not be compared."""
    splits = BouncingBalls(sequences=20, frames=30).load(0)
    digest = hashlib.sha256(splits.train.values.numpy().tobytes()).hexdigest()
    assert [len(s) for s in splits] == [20, 2, 2]
    assert digest[:16] == "33c40fc6c4ff84c0"


def test_splits_are_different_sequences():
    splits = BouncingBalls(sequences=30, frames=10).load(0)
    rows = [bytes(row) for s in splits for row in s.values.numpy()]
    assert len(set(rows)) == len(rows)


def test_too_many_balls():
    with pytest.raises(ValueError, match="do not fit"):
        BouncingBalls(balls=10, radius=2.0, sequences=5).load(0)
