import math

import numpy as np
import pytest
import torch
from scipy import integrate

from hwbench.models.circle import Circle, CircleVAE, ImageNet, projected_normal


@pytest.fixture
def model():
    torch.manual_seed(0)
    circle = Circle(visible=4, shape=(2, 2), channels=[2]).double()
    with torch.no_grad():
        for p in circle.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return circle


def test_log_p_is_the_integral_over_the_angle(model):
    """By adaptive quadrature; and 32 nodes are as good as 512."""
    x = torch.tensor([[0.3, -0.2, 0.9, 0.1]]).double()

    def density(angle):
        with torch.no_grad():
            return float(model.log_joint(x, [torch.tensor([[[angle]]], dtype=torch.float64)]).exp())

    expected = math.log(integrate.quad(density, -math.pi, math.pi, epsabs=1e-12)[0])
    assert model.log_prob(x).item() == pytest.approx(expected, abs=1e-9)
    assert model.log_marginal(x, 32).item() == pytest.approx(expected, abs=1e-9)


def test_the_gradient_of_log_p_is_that_of_finite_differences(model):
    x = torch.tensor([[0.3, -0.2, 0.9, 0.1]]).double()
    model.log_prob(x).sum().backward()
    for p in model.parameters():
        flat, gradient = p.data.view(-1), p.grad.view(-1)
        values = []
        for step in (1e-5, -1e-5):
            flat[0] += step
            values.append(model.log_prob(x).item())
            flat[0] -= step
        assert gradient[0].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-7)


def test_the_net_doubles_an_image_once_for_each_of_its_channels():
    net = ImageNet((16, 8), [6, 3])
    assert [tuple(layer.weight.shape[2:]) for layer in net.layers] == [(4, 2), (4, 4), (4, 4)]
    assert net(torch.zeros(3, 2)).shape == (3, 2, 128)


def test_an_image_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="images of 6 x 8 cannot be halved 2 times"):
        Circle(visible=48, shape=(6, 8), channels=[4, 2])


@pytest.mark.parametrize("mean", [(0.0, 0.0), (1.0, -0.5), (-3.0, 2.0), (20.0, 1.0)])
def test_the_projected_normal_is_a_density_and_that_of_directions(mean):
    """It integrates to 1, and is ∫ r N(r (sin a, cos a); m, I) dr at every angle."""
    m = torch.tensor(mean).double()
    angle = torch.linspace(-math.pi, math.pi, 4001, dtype=torch.float64)[:-1]
    p = projected_normal(angle, m).exp().numpy()
    assert p.mean() * 2 * math.pi == pytest.approx(1.0, abs=1e-9)
    for i in range(0, 4000, 500):
        u = np.array([math.sin(angle[i]), math.cos(angle[i])])

        def along(r, u=u):
            return r * math.exp(-0.5 * np.square(r * u - m.numpy()).sum()) / (2 * math.pi)

        expected = integrate.quad(along, 0, 40, points=[1, 5, 15, 20, 25], epsabs=1e-14)[0]
        assert p[i] == pytest.approx(expected, rel=1e-6, abs=1e-13)


def test_the_projected_normal_is_finite_where_it_is_extreme():
    """Value and gradient, up to means that are far away in either direction."""
    mean = torch.tensor([[0.0, 0.0], [0.0, 200.0], [0.0, -200.0]], requires_grad=True)
    value = projected_normal(torch.zeros(3), mean)
    value.sum().backward()
    assert value.isfinite().all()
    assert mean.grad.isfinite().all()
    # At a mean r the density is about N(a; 0, 1/r²), opposite to it about exp(−r²/2) / (2π r²).
    assert value[1].item() == pytest.approx(math.log(200 / math.sqrt(2 * math.pi)), abs=1e-3)
    assert value[2].item() == pytest.approx(-20_000 - math.log(2 * math.pi * 200**2), abs=1e-2)


def test_both_models_are_one_generative_model():
    torch.manual_seed(0)
    circle = Circle(visible=16, shape=(4, 4), channels=[3])
    vae = CircleVAE(visible=16, shape=(4, 4), channels=[3])
    vae.generative.load_state_dict(circle.generative.state_dict())
    x, h = circle.dream(5)
    torch.testing.assert_close(vae.log_joint(x, h), circle.log_joint(x, h))
    torch.testing.assert_close(vae.log_marginal(x, 512).float(), circle.log_prob(x))
