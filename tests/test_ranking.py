"""Measures of rankings against enumeration: of random orders, and of orders within ties."""

from itertools import combinations, permutations

import numpy as np
import pytest

from hwbench.ranking import average_precision, expected_average_precision, precision_at

LABELS = np.array([1, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
SCORES = np.linspace(0.9, 0.2, 8)


def plain(relevant):
    """Σ_k P(k) rel(k) / R of a ranking, the best first, in a loop."""
    hits, total = 0, 0.0
    for k, good in enumerate(relevant, 1):
        hits += good
        total += good * hits / k
    return total / hits


def test_the_worked_example():
    assert average_precision(SCORES, LABELS) == pytest.approx(0.74702381, abs=6e-9)
    assert precision_at(SCORES, LABELS, 3) == pytest.approx(2 / 3)
    assert precision_at(SCORES, LABELS, 100) == 0.5


def test_a_random_ranking_by_enumeration():
    """All 15 places of 2 among 6; a ranking of ties alone has that number, too."""
    orders = []
    for chosen in combinations(range(6), 2):
        relevant = np.isin(np.arange(6), chosen)
        orders.append(plain(relevant))
        tied = average_precision(np.zeros(6), relevant)
        assert tied == pytest.approx(expected_average_precision(2, 6), abs=1e-12)
        assert precision_at(np.zeros(6), relevant, 4) == pytest.approx(2 / 6)
    assert len(orders) == 15
    assert np.mean(orders) == pytest.approx(expected_average_precision(2, 6), abs=1e-12)
    assert expected_average_precision(2, 6) == pytest.approx(0.52666667, abs=6e-9)


def test_monotone_maps_of_scores_change_nothing():
    shuffled = np.random.default_rng(0).permutation(8)
    scores, labels = SCORES[shuffled], LABELS[shuffled]
    for moved in (scores, 7 * scores - 3, np.exp(9 * scores), scores**3):
        assert average_precision(moved, labels) == pytest.approx(0.74702381, abs=6e-9)
        assert precision_at(moved, labels, 3) == pytest.approx(2 / 3)


@pytest.mark.parametrize("scores", [[2, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, -1], [0, 3, 3, 3, 3, 1]])
def test_ties_are_the_mean_over_all_orders_within_them(scores):
    scores = np.array(scores, dtype=float)
    relevant = np.array([0, 1, 0, 1, 1, 0], dtype=bool)
    orders = [o for o in permutations(range(6)) if (np.diff(scores[list(o)]) <= 0).all()]
    found = average_precision(scores, relevant)
    assert found == pytest.approx(np.mean([plain(relevant[list(o)]) for o in orders]), abs=1e-12)
    first = np.mean([relevant[list(o)][:3].mean() for o in orders])
    assert precision_at(scores, relevant, 3) == pytest.approx(first, abs=1e-12)


def test_what_cannot_be_ranked_is_an_error():
    with pytest.raises(ValueError, match="needs a relevant point"):
        average_precision(SCORES, np.zeros(8, dtype=bool))
    with pytest.raises(ValueError, match="finite scores"):
        average_precision(np.array([1.0, np.nan]), np.array([True, False]))
