import pytest
import torch
from torch.distributions import Laplace, Normal

from hwbench.models.ica import LaplaceMixture


def test_densities_are_those_of_torch():
    torch.manual_seed(0)
    model = LaplaceMixture(visible=4, shape=(2, 2), sources=3, noise=0.7).double()
    x, (s,) = model.dream(5)
    expected = Laplace(0.0, 1.0).log_prob(s).sum(1)
    expected = expected + Normal(s @ model.weight.T, 0.7).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_joint(x, [s]), expected)


@pytest.mark.statistical
def test_dreams_have_the_moments_of_mixed_laplace_sources():
    """Cov x = 2 A Aᵀ + σ² I, each entry within five standard errors; E s⁴ = 24."""
    torch.manual_seed(0)
    model = LaplaceMixture(visible=2, shape=(1, 2), sources=2, start=1.0, noise=0.5).double()
    x, (s,) = model.dream(50_000)
    products = x[:, :, None] * x[:, None]
    expected = 2 * model.mixing() @ model.mixing().T + 0.25 * torch.eye(2)
    z = (products.mean(0) - expected) / (products.std(0) / 50_000**0.5)
    assert z.abs().max() < 5
    fourth = s.pow(4)
    assert (fourth.mean() - 24).abs() < 5 * fourth.std() / fourth.numel() ** 0.5
