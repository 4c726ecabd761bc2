"""Metrics of a ranking, in expectation over a random order of points with equal scores."""

# Dims: N points.

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Integer


def average_precision(scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]) -> float:
    """Return Σ_k P(k) rel(k) / R over the whole ranking, with P(k) the precision of the first k.

    If r of n points with equal scores are relevant, and a of the m points before them, then their
    expected terms sum to (McSherry & Najork, 2008)

        (r / n) Σ_{i=1}^{n} [a + 1 + (i − 1) (r − 1) / (n − 1)] / (m + i)

    Raises:
        ValueError: no point is relevant, or a score is not finite.

    >>> labels = np.array([1, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    >>> round(average_precision(np.linspace(0.9, 0.2, 8), labels), 8)
    0.74702381
    """
    size, hits = _groups(scores, relevant)
    if not hits.sum():
        raise ValueError("average precision needs a relevant point; there is none")
    before, hits_before = _before(size), _before(hits)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(scores) + 1))])
    slope = harmonic[before + size] - harmonic[before]  # Σ_i 1 / (m + i)
    others = (hits - 1) / np.maximum(size - 1, 1)
    terms = (hits_before + 1) * slope + others * (size - (before + 1) * slope)
    return float((hits / size * terms).sum() / hits.sum())


def precision_at(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"], k: int
) -> float:
    """Return the fraction of relevant points among the first k, or among all if there are fewer.

    >>> labels = np.array([1, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    >>> round(precision_at(np.linspace(0.9, 0.2, 8), labels, 3), 8)
    0.66666667
    """
    size, hits = _groups(scores, relevant)
    k = min(k, len(scores))
    taken = np.clip(k - _before(size), 0, size)  # points of each group among the first k
    return float((hits * taken / size).sum() / k)


def expected_average_precision(relevant: int, n: int) -> float:
    """Return the expected average precision of a random ranking of n points with R relevant ones.

        (R − 1) / (n − 1) + (H_n / n) (1 − (R − 1) / (n − 1)),   H_n = Σ_{k=1}^{n} 1 / k

    >>> round(expected_average_precision(2, 6), 8)
    0.52666667
    """
    others = (relevant - 1) / max(n - 1, 1)
    return float(others + (1 / np.arange(1, n + 1)).mean() * (1 - others))


def _groups(
    scores: Float[np.ndarray, " n"], relevant: Bool[np.ndarray, " n"]
) -> tuple[Integer[np.ndarray, " g"], Integer[np.ndarray, " g"]]:
    """Return numbers of points and of relevant points in each group of equal scores, best first."""
    if not np.isfinite(scores).all():
        raise ValueError("a ranking needs finite scores")
    _, group, size = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.bincount(group, relevant, len(size)).round().astype(np.int64)
    return size, hits


def _before(counts: Integer[np.ndarray, " g"]) -> Integer[np.ndarray, " g"]:
    """Return, for each group, the sum over the groups before it."""
    before: Integer[np.ndarray, " g"] = np.cumsum(counts) - counts
    return before
