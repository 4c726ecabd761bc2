import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from hwbench.models.factorisation import FactorisationVAE, NonnegativeFactorisation
from hwbench.protocols import TrainSplit
from hwbench.rules.bounds import ELBO
from hwbench.rules.kernel import AmortisedLearning


@pytest.fixture
def model():
    torch.manual_seed(0)
    return NonnegativeFactorisation(6, factors=2, start=(0.2, 1.5))


def test_probabilities_sum_to_one():
    """Over images of two pixels and, by quadrature, the only latent."""
    torch.manual_seed(0)
    one = NonnegativeFactorisation(2, factors=1, start=(0.5, 1.5)).double()

    def density(z):
        x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).double()
        h = [torch.full((1, 4, 1), z, dtype=torch.float64)]
        with torch.no_grad():
            return float(one.log_joint(x, h).exp().sum())

    assert integrate.quad(density, 0, 1)[0] == pytest.approx(1.0, abs=1e-9)


def test_weights_are_positive_and_start_where_they_should():
    same = NonnegativeFactorisation(5, factors=3)
    torch.testing.assert_close(same.factors(), torch.full((3, 5), 0.03))
    torch.manual_seed(0)
    spread = NonnegativeFactorisation(50, factors=30, start=(0.01, 0.1)).factors()
    assert 0.0099 < spread.min() < spread.max() < 0.1001
    assert spread.mean().item() == pytest.approx(0.055, abs=0.003)


@pytest.mark.parametrize("start", [(0.0, 0.1), (0.2, 0.1)])
def test_a_range_of_weights_that_is_none_is_refused(start):
    with pytest.raises(ValueError, match="start must be a range of weights above 0"):
        NonnegativeFactorisation(5, factors=3, start=start)


def test_the_prior_is_a_gamma_density(model):
    """Up to its constant, against scipy."""
    weight = model.factors().detach().double().numpy()
    expected = stats.gamma(0.9, scale=1 / 0.3).logpdf(weight)
    constant = stats.gamma(0.9, scale=1 / 0.3).logpdf(1.0) + 0.3
    value = model.log_parameter_prior().item()
    assert value == pytest.approx((expected - constant).sum(), abs=1e-4)


@pytest.mark.parametrize("form", ["plain", "exponential"])
def test_amortised_learning_moves_weights_and_offsets(form, model):
    """In both forms there are gradients to all parameters, also where all weights are alike."""
    for start in ((0.03, 0.03), (0.2, 1.5)):
        torch.manual_seed(0)
        fresh = NonnegativeFactorisation(6, factors=2, start=start)
        rule = AmortisedLearning(samples=100, form=form)
        x = (torch.rand(20, 6) < 0.3).float()
        rule.begin(fresh, TrainSplit(x))
        rule.backward(fresh, x)
        for p in fresh.parameters():
            assert (p.grad != 0).all()


def test_both_models_are_one_generative_model(model):
    vae = FactorisationVAE(6, factors=2)
    vae.generative.load_state_dict(model.generative.state_dict())
    x, h = model.dream(7)
    torch.testing.assert_close(vae.log_joint(x, h), model.log_joint(x, h))


@pytest.mark.statistical
def test_the_bound_is_below_log_p_by_quadrature():
    """One factor: the mean ELBO is below log p(x) and, for its q, equal to that by quadrature."""
    torch.manual_seed(0)
    vae = FactorisationVAE(3, factors=1, start=(0.5, 1.5), hidden=4)
    x = torch.tensor([[1.0, 0.0, 1.0]])
    grid = (torch.arange(20_000) + 0.5) / 20_000
    h = [grid.view(-1, 1, 1)]
    with torch.no_grad():
        log_p, log_q = vae.log_joint(x, h)[:, 0].double(), vae.log_q(h, x)[:, 0].double()
        expected = float((log_q.exp() * (log_p - log_q)).mean())
        exact = float(log_p.logsumexp(0)) - math.log(20_000)
        rule = ELBO(k=4000)
        draws = np.array([-float(rule(vae, x)) for _ in range(20)])
    assert expected < exact
    assert abs(draws.mean() - expected) < 5 * draws.std(ddof=1) / math.sqrt(20)
