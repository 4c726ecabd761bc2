"""How far numbers moved, and what rounding explains: the gate's rule, for arrays too."""

import math

import numpy as np
import pytest

from hwbench.attest.judge import (
    Runs,
    all_small,
    changes,
    distance,
    explained,
    farthest,
    spread_of,
)
from hwbench.baseline import BaselineRow
from hwbench.gate import BEYOND, ROUNDING, rounding_of

NAME = "metric log_likelihood"


def runs(old, new=None, elsewhere=None, name=NAME):
    """Return the runs of one number by seed."""

    def side(values):
        return {seed: {name: np.asarray(v, dtype=float)} for seed, v in (values or {}).items()}

    return Runs(side(old), side(old if new is None else new), side(elsewhere))


def test_the_tolerance_of_one_number_is_the_gates():
    """One row moved by 1e-4 under other kernels and has seeds 1 apart; the other's are 4 apart."""
    old = [{0: -100.0, 1: -101.0, 2: -99.5}, {0: -50.0, 1: -54.0, 2: -47.0}]
    there = [{0: -100.0001, 1: -101.0}, {0: -50.0, 1: -54.0002}]
    rows = [
        BaselineRow(
            keys={},
            values={str(k): v for k, v in o.items()},
            elsewhere={str(k): v for k, v in t.items()},
        )
        for o, t in zip(old, there, strict=True)
    ]
    mine = [spread_of(NAME, runs(o, o, t)) for o, t in zip(old, there, strict=True)]
    for row, own in zip(rows, mine, strict=True):
        # the gate takes the mean of the values for their size, here it is the root mean square
        assert explained(own, mine) == pytest.approx(rounding_of(row, rows), rel=1e-3)


def test_the_interval_of_a_new_seed_bounds_what_kernels_explain():
    old = {0: -100.0, 1: -101.0, 2: -99.5}
    row = BaselineRow(
        keys={}, values={str(k): v for k, v in old.items()}, elsewhere={"0": -90.0, "1": -101.0}
    )
    own = spread_of(NAME, runs(old, old, {0: -90.0, 1: -101.0}))
    assert explained(own, [own]) == pytest.approx(rounding_of(row, [row]))
    assert explained(own, [own]) < BEYOND * 10


def test_without_a_spread_over_seeds_a_row_is_measured_by_itself():
    own = spread_of(NAME, runs({0: -100.0}, None, {0: -100.5}))
    assert explained(own, [own]) == pytest.approx(BEYOND * 0.5)
    still = spread_of(NAME, runs({0: -100.0}, None, {0: -100.0}))
    assert explained(still, [still, own]) == pytest.approx(ROUNDING * 100)


def test_equal_bits_have_moved_by_nothing():
    same = runs({0: [1.0, math.nan, math.inf], 1: [2.0, math.nan, -math.inf]})
    assert same.identical
    assert farthest(changes(same), []).share == 0


def test_an_array_moves_by_its_root_mean_square():
    moved = runs({0: [3.0, 4.0]}, {0: [3.0, 4.0 + 1e-5]}, name="array log_px")
    found = farthest(changes(moved), [changes(moved)])
    assert found.moved == pytest.approx(1e-5 / math.sqrt(2), rel=1e-4)
    assert found.tolerance == pytest.approx(ROUNDING * math.sqrt(25 / 2))
    assert found.share == pytest.approx(found.moved / found.tolerance)
    assert 0 < found.share < 1


@pytest.mark.parametrize(
    ("a", "b"),
    [([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0]), ([math.inf], [-math.inf])],
)
def test_another_shape_or_other_undefined_values_are_infinitely_far(a, b):
    assert distance(np.array(a), np.array(b)) == math.inf
    moved = runs({0: a}, {0: b}, {0: a})
    assert farthest(changes(moved), [changes(moved)]).share == math.inf


def test_a_number_that_only_one_code_gives_has_moved():
    one = Runs({0: {NAME: np.array(1.0)}}, {0: {}}, {})
    assert farthest(changes(one), []).share == math.inf


def test_a_number_that_only_some_seeds_have_is_compared_there():
    """Samples are drawn for the first seed only."""
    old = {0: {NAME: np.array(1.0), "array samples": np.array([1.0])}, 1: {NAME: np.array(1.0)}}
    new = {0: {NAME: np.array(1.0), "array samples": np.array([1 + 1e-6])}, 1: old[1]}
    assert farthest(changes(Runs(old, new, {})), []).share == pytest.approx(0.1, rel=1e-3)


def test_a_zero_that_moves_is_not_explained():
    zero = runs({0: 0.0, 1: 0.0}, {0: 0.0, 1: 1e-9}, {0: 0.0, 1: 0.0})
    assert farthest(changes(zero), []).share == math.inf


def test_the_metric_stands_for_what_moved_too_far():
    """A curve moved by more, and both by more than rounding explains."""
    old = {0: {"curve train/objective": np.array([1.0]), NAME: np.array(1.0)}}
    new = {0: {"curve train/objective": np.array([2.0]), NAME: np.array(1.5)}}
    assert farthest(changes(Runs(old, new, old)), []).name == NAME
    near = {0: {"curve train/objective": np.array([1 + 2e-6]), NAME: np.array(1 + 1e-6)}}
    found = farthest(changes(Runs(old, near, old)), [])
    assert (found.name, found.share) == ("curve train/objective", pytest.approx(0.2, rel=1e-3))


def test_what_moves_by_less_than_a_tenth_of_rounding_needs_no_other_kernels():
    """Other kernels could only raise the tolerance, and the share without them is the larger."""
    for moved, small in ((0.09, True), (0.11, False)):
        found = runs({0: 8.0, 1: 8.0}, {0: 8.0, 1: 8.0 * (1 + moved * ROUNDING)})
        assert all_small(changes(found)) == small
        assert farthest(changes(found), []).share == pytest.approx(moved, rel=1e-6)
