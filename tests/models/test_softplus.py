import numpy as np
import pytest
import torch
from scipy import integrate

from hwbench.models.softplus import SoftplusGaussian

# (b, σ): log p(0), and the first entry of ∇_b log p(0), computed beforehand by another program
FIXTURES = [
    ((0.5, 0.5), 0.1, 0.11439, 0.3169),
    ((0.5, 0.5), 0.5, -0.47852, 0.3128),
    ((0.5, 0.5), 1.0, -1.00334, 0.0912),
    ((1.0, 1.0), 0.1, -1.97403, -2.1023),
    ((1.0, 1.0), 0.5, -1.83673, -2.1853),
    ((1.0, 1.0), 1.0, -1.63109, -1.5632),
    ((2.0, -1.0), 0.1, -4.20597, -2.4541),
    ((2.0, -1.0), 0.5, -4.11053, -2.4499),
    ((2.0, -1.0), 1.0, -3.85721, -2.4359),
]
ZERO = torch.zeros(1, 1, dtype=torch.float64)

cells = pytest.mark.parametrize(("slope", "noise", "log_p", "gradient"), FIXTURES)


@cells
def test_log_p_and_its_gradient_are_those_computed_beforehand(slope, noise, log_p, gradient):
    """In every digit; the gradient is along b."""
    model = SoftplusGaussian(1, slope, noise).double()
    value = model.log_prob(ZERO)
    value.sum().backward()
    assert value.item() == pytest.approx(log_p, abs=5.1e-6)
    expected = torch.tensor([gradient, gradient * slope[1] / slope[0]]).double()
    torch.testing.assert_close(model.slope.grad, expected, rtol=0, atol=6e-5)


@cells
def test_the_gradient_is_that_of_central_differences(slope, noise, log_p, gradient):
    """To 5e-9, by differences of fourth order of the same integral."""
    model = SoftplusGaussian(1, slope, noise).double()
    model.log_prob(ZERO).sum().backward()
    step, b = 1e-3, torch.tensor(slope).double()
    for i, unit in enumerate(torch.eye(2).double()):
        values = []
        for k in (1, -1, 2, -2):
            with torch.no_grad():
                model.slope.copy_(b + k * step * unit)
                values.append(model.log_prob(ZERO).item())
        near, far = values[0] - values[1], values[2] - values[3]
        expected = (8 * near - far) / (12 * step)
        assert model.slope.grad[i].item() == pytest.approx(expected, abs=5e-9)


def log_p_by_scipy(b, noise, x):
    """The same integral by adaptive quadrature."""
    r = np.linalg.norm(b)

    def integrand(s):
        mean = np.logaddexp(0, r * s) - r**2
        return np.exp(-0.5 * s**2 - 0.5 * ((x - mean) / noise) ** 2) / (2 * np.pi * noise)

    return np.log(integrate.quad(integrand, -12, 12, limit=1000, points=list(range(-11, 12)))[0])


@cells
def test_the_gradient_is_that_of_finite_differences(slope, noise, log_p, gradient):
    """Of an integral by another method, at x = 0.7."""
    model = SoftplusGaussian(1, slope, noise).double()
    value = model.log_prob(ZERO + 0.7)
    value.sum().backward()
    assert value.item() == pytest.approx(log_p_by_scipy(slope, noise, 0.7), abs=1e-9)
    for i, step in enumerate(1e-5 * np.eye(2)):
        ahead, behind = (log_p_by_scipy(slope + d, noise, 0.7) for d in (step, -step))
        assert float(model.slope.grad[i]) == pytest.approx((ahead - behind) / 2e-5, abs=1e-7)


@cells
def test_mean_score_under_the_posterior_is_the_gradient(slope, noise, log_p, gradient):
    """ALWS-C4: E_{p(z|x)}[∇ log p(z, x)] = ∇ log p(x), to 1e-8, by quadrature over both latents.

    Across b the posterior is the prior, which a Gauss-Hermite rule integrates; along b a fine grid.
    """
    model = SoftplusGaussian(1, slope, noise).double()
    b = model.slope.detach()
    along = b / b.norm()
    across = torch.stack([-along[1], along[0]])
    s = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    t, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(5))
    z = s[:, None, None] * along + t[:, None] * across  # [s, t, 2]
    log_p_z = model.log_joint(ZERO, [z.flatten(0, 1)[:, None]])[:, 0].view(len(s), len(t))
    posterior = (log_p_z + 0.5 * t.square() + weight.log()).detach().flatten().softmax(0)
    (mean_score,) = torch.autograd.grad(posterior @ log_p_z.flatten(), model.slope)
    (exact,) = torch.autograd.grad(model.log_prob(ZERO).sum(), model.slope)
    torch.testing.assert_close(mean_score, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visible": 2}, "must have 1 unit"),
        ({"visible": 1, "slope": (0.0, 0.0)}, "slope is zero"),
    ],
)
def test_it_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        SoftplusGaussian(**arguments)
