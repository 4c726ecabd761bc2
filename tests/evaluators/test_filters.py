import numpy as np
import pytest
import torch

from hwbench.datasets.mixtures import GaborMixture
from hwbench.evaluators.filters import FilterRecovery, amari_distance
from hwbench.models.ica import LaplaceMixture
from hwbench.protocols import TestSplit
from hwbench.rules.fast_ica import FastICA


def model_of(mixing):
    d, k = mixing.shape
    out = LaplaceMixture(visible=d, shape=(1, d), sources=k)
    out.place(mixing)
    return out


def values_of(found):
    return {name: metric.value for name, metric in found.metrics.items()}


def test_amari_distance_of_known_matrices():
    assert amari_distance(torch.diag(torch.tensor([1.0, -3.0, 0.2]))[[2, 0, 1]]) == 0
    assert amari_distance(torch.ones(4, 4)) == 1
    # Rows (1, 1/2) and (0, 1): excess sums 1/2 and 0 by rows, 0 and 1/2 by columns.
    assert amari_distance(torch.tensor([[1.0, 0.5], [0.0, 1.0]])) == pytest.approx(0.25)


def test_permuted_and_scaled_filters_are_recovered():
    """Images match one to one, with their signs."""
    torch.manual_seed(0)
    true = torch.randn(6, 4)
    model = model_of(true[:, [2, 0, 3, 1]] * torch.tensor([-1.0, 2.0, 0.5, -3.0]))
    found = FilterRecovery()(model, TestSplit(true.T.contiguous()), seed=0)
    assert values_of(found) == pytest.approx({"amari": 0, "best_cosine": 1}, abs=1e-5)
    np.testing.assert_array_equal(found.per_point["true"], found.per_point["learned"])
    at = true.abs().argmax(0)
    shown = found.per_point["true"][np.arange(4), at.numpy()]
    np.testing.assert_array_equal(shown, np.where(true[at, range(4)] > 0, 255, 0))


def test_one_filter_off_lowers_the_mean_cosine_by_its_share():
    true, learned = torch.eye(4), torch.eye(4)
    learned[:, 3] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    found = FilterRecovery()(model_of(learned), TestSplit(true), seed=0)
    assert values_of(found)["best_cosine"] == pytest.approx((3 + 0.5**0.5) / 4)


def test_fast_ica_recovers_the_filters_of_mixtures():
    """From 2000 mixtures of three sources, whose filters random ones are far from."""
    splits = GaborMixture(side=4, sources=3, points=2000).load(0)
    torch.manual_seed(0)
    model = LaplaceMixture(visible=16, shape=(4, 4), sources=3)
    before = values_of(FilterRecovery()(model, splits.test, seed=0))
    FastICA()(model, splits.train, None, 0, lambda fraction, note: None)
    after = values_of(FilterRecovery()(model, splits.test, seed=0))
    assert after["best_cosine"] > 0.95 > before["best_cosine"]
    assert after["amari"] < 0.1 < before["amari"]
