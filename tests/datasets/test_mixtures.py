import math

import pytest
import torch

from hwbench.datasets.mixtures import NOISE, GaborMixture


def test_pixels_have_unit_variance_and_noise():
    """Each within five standard errors of 1 + 0.01; a product of Laplace sums has kurtosis ≤ 6."""
    x = GaborMixture(side=4, sources=3, points=20_000).load(0).train.values.double()
    error = math.sqrt(5 / 20_000) * (1 + NOISE**2)
    assert (x.var(0) - 1 - NOISE**2).abs().max() < 5 * error
    assert x.mean(0).abs().max() < 5 * math.sqrt(1.01 / 20_000)


def test_the_test_points_are_the_filters_that_made_the_data():
    """Cov x = 2 A Aᵀ + 0.01 I, with the test points as the columns of A."""
    splits = GaborMixture(side=4, sources=3, points=50_000).load(0)
    a, x = splits.test.values.T.double(), splits.train.values.double()
    products = x[:, :, None] * x[:, None]
    z = (products.mean(0) - 2 * a @ a.T - NOISE**2 * torch.eye(16)) / products.std(0)
    assert z.abs().max() * math.sqrt(50_000) < 5


def test_more_sources_than_pixels_are_refused():
    with pytest.raises(ValueError, match=r"at most as many sources as pixels, 16 \(found 17\)"):
        GaborMixture(side=4, sources=17)
