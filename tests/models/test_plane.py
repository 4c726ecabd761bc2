import math

import pytest
import torch

from hwbench.models.plane import BentMixture, BentMixtureVAE, GaussianMixture


@pytest.fixture(scope="module")
def model():
    """Of two components above points of the plane, away from its start."""
    torch.manual_seed(0)
    out = BentMixture(visible=2, components=2, hidden=3, nodes=60).double()
    with torch.no_grad():
        for p in out.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return out


def test_log_p_is_the_integral_over_the_latents(model):
    """Of the log joint on a square that holds all of both components, in small cells."""
    x = torch.tensor([[0.3, -0.2]]).double()
    axis = torch.linspace(-5, 5, 301).double()
    z = torch.cartesian_prod(axis, axis)[:, None]
    found = model.log_components(x, 200)[0]
    for c in range(2):
        with torch.no_grad():
            log_p = model.log_joint(x, [z, torch.full((len(z), 1, 1), float(c))])
        expected = log_p.logsumexp(0).item() + 2 * math.log(axis[1] - axis[0])
        assert found[c].item() == pytest.approx(expected, abs=1e-3)


def test_half_the_nodes_give_the_same(model):
    """To a tenth of the thousandth of a nat that is promised."""
    x = model.draw(5)[0]
    fine, coarse = (model.log_components(x, n).logsumexp(1) for n in (200, 100))
    torch.testing.assert_close(fine, coarse, atol=1e-4, rtol=0)


def test_without_a_net_the_quadrature_is_a_mixture_of_gaussians(model):
    """f(z) = z + 5 by ReLUs that are never off: covariances add, log p(x, c) is in closed form."""
    linear = BentMixture(visible=2, components=3, hidden=2).double()
    with torch.no_grad():
        for layer, shift in ((linear.generative.mean[0], 20.0), (linear.generative.mean[2], -15.0)):
            layer.weight.copy_(torch.eye(2))
            layer.bias.fill_(shift)
        linear.generative.prior.below.normal_(std=0.3)
    prior, x = linear.generative.prior, torch.tensor([[4.8, 5.3], [6.0, 4.0]]).double()
    roots, noise = prior.roots(), torch.diag((2 * linear.generative.log_noise).exp())
    closed = GaussianMixture(visible=2, components=3).double()
    closed.place(prior.weights.softmax(0), prior.means + 5, roots @ roots.mT + noise)
    torch.testing.assert_close(linear.log_components(x, 200), closed.log_components(x, 0))


def test_a_mixture_of_gaussians_is_placed_where_it_is_told():
    """log p(x) is that of torch's own distributions."""
    torch.manual_seed(1)
    root = torch.randn(3, 2, 2).double()
    weights, means = torch.tensor([0.2, 0.5, 0.3]).double(), torch.randn(3, 2).double()
    covariances = root @ root.mT + 0.1 * torch.eye(2)
    mixture = GaussianMixture(visible=2, components=3).double()
    mixture.place(weights, means, covariances)
    x = torch.randn(5, 2).double()
    parts = torch.distributions.MultivariateNormal(means, covariances).log_prob(x[:, None])
    torch.testing.assert_close(mixture.log_prob(x), (parts + weights.log()).logsumexp(1))


def test_both_models_are_one_generative_model(model):
    """Their joints agree once the component is summed out."""
    vae = BentMixtureVAE(visible=2, components=2, hidden=3).double()
    vae.generative.load_state_dict(model.generative.state_dict())
    x, (z, _) = model.dream(5)
    each = [model.log_joint(x, [z, torch.full((5, 1), float(c))]) for c in range(2)]
    torch.testing.assert_close(vae.log_joint(x, [z]), torch.stack(each).logsumexp(0))


def test_the_prior_of_parameters_is_that_of_means_and_covariances(model):
    """−‖μ‖²/18 − 5/2 log|Σ| − tr Σ⁻¹ / 100, up to a constant that is 0 here."""
    prior = model.generative.prior
    covariances = prior.roots() @ prior.roots().mT
    expected = -prior.means.square().sum() / 18 - 2.5 * torch.logdet(covariances).sum()
    expected = expected - 0.01 * torch.linalg.inv(covariances).diagonal(dim1=1, dim2=2).sum()
    torch.testing.assert_close(model.log_parameter_prior(), expected)
