import numpy as np
import pytest
import torch
from scipy import linalg, spatial, special

from hwbench import kernels
from hwbench.kernels import ExactRidge, FeatureRidge, Kernel

SHAPES = ["gaussian", "matern12", "matern32", "matern52", "polynomial"]


@pytest.fixture
def data():
    """Features of 40 samples and 7 points, in float64."""
    draws = torch.Generator().manual_seed(0)
    return (torch.randn(n, 3, generator=draws, dtype=torch.float64) for n in (40, 7))


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def gram(shape, x, y, width, degree=2):
    """The kernel by scipy and numpy alone; Matérn by its Bessel function."""
    if shape == "polynomial":
        return (1 + x @ y.T / width**2) ** degree
    r = spatial.distance.cdist(x, y) / width
    if shape == "gaussian":
        return np.exp(-(r**2) / 2)
    nu = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}[shape]
    z = np.sqrt(2 * nu) * np.maximum(r, 1e-12)
    return 2 ** (1 - nu) / special.gamma(nu) * z**nu * special.kv(nu, z)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_solve_the_system(shape, data):
    phi, psi = data
    width, ridge = 1.3, 1e-2
    found = ExactRidge(phi, Kernel(shape), number(width), number(ridge)).weights(psi)
    x, y = phi.numpy(), psi.numpy()
    system = gram(shape, x, x, width) + ridge * np.eye(len(x))
    expected = linalg.solve(system, gram(shape, x, y, width), assume_a="pos")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_the_weights_is_that_of_autograd(shape, data):
    """By features of samples and points, width and ridge, through the solve itself."""
    phi, psi = data
    gradient = torch.randn(40, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaves = [phi, psi, number(0.2), number(-4.0)]
    for leaf in leaves:
        leaf.requires_grad_()
    width, ridge = leaves[2].exp(), leaves[3].exp()
    by_hand = ExactRidge(phi, Kernel(shape), width, ridge)
    value = by_hand.surrogate(psi, by_hand.weights(psi), gradient)

    def k(y):
        if shape == "polynomial":
            return (1 + phi @ y.T / width**2) ** 2
        u = (phi[:, None] - y).square().sum(2) / width**2
        r = torch.where(u > 0, u, 1.0).sqrt() * (u > 0)  # no slope at distance 0
        root = {"matern12": 1, "matern32": 3**0.5, "matern52": 5**0.5}.get(shape, 0) * r
        polynomial = {"matern32": 1 + root, "matern52": 1 + root + root**2 / 3}.get(shape, 1)
        return (-u / 2).exp() if shape == "gaussian" else polynomial * (-root).exp()

    weights = torch.linalg.solve(k(phi) + ridge * torch.eye(40).double(), k(psi))
    expected = torch.autograd.grad((gradient * weights).sum(), leaves, retain_graph=True)
    for a, b in zip(torch.autograd.grad(value, leaves), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_gradient_of_feature_ridge_is_that_of_autograd(data):
    phi, psi = data
    gradient = torch.randn(40, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaves = [phi.requires_grad_(), psi.requires_grad_(), number(-2.0).requires_grad_()]
    ridge = leaves[2].exp()
    by_hand = FeatureRidge(phi, ridge)
    value = by_hand.surrogate(psi, by_hand.weights(psi), gradient)
    weights = torch.linalg.solve(phi @ phi.T + ridge * torch.eye(40).double(), phi @ psi.T)
    expected = torch.autograd.grad((gradient * weights).sum(), leaves, retain_graph=True)
    for a, b in zip(torch.autograd.grad(value, leaves), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("features", [5, 60])  # fewer and more than samples
def test_ridge_on_features_is_kernel_ridge(features):
    draws = torch.Generator().manual_seed(2)
    phi, psi = (torch.randn(n, features, generator=draws).double() for n in (40, 7))
    found = FeatureRidge(phi, number(0.1)).weights(psi)
    expected = torch.linalg.solve(phi @ phi.T + 0.1 * torch.eye(40).double(), phi @ psi.T)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_fourier_features_approximate_the_gaussian_kernel(data):
    """Within 5 standard errors of a mean over 20 000 features, and 2/F of the unscaled ones."""
    phi, psi = data
    draws = torch.Generator().manual_seed(3)
    w = torch.randn(3, 20_000, generator=draws).double()
    b = 2 * torch.pi * torch.rand(20_000, generator=draws).double()
    one, other = (kernels.fourier_features(f, w, b, number(1.3), True) for f in (phi, psi))
    expected = torch.from_numpy(gram("gaussian", phi.numpy(), psi.numpy(), 1.3))
    assert ((one @ other.T) - expected).abs().max() < 5 / 20_000**0.5
    plain = kernels.fourier_features(phi, w, b, number(1.3), False)
    torch.testing.assert_close(one, plain * (2 / 20_000) ** 0.5)


def test_median_distance_is_that_of_all_pairs(data):
    phi, _ = data
    assert float(kernels.median_distance(phi[:39] + 100)) == pytest.approx(
        np.sort(spatial.distance.pdist(phi[:39].numpy()))[(39 * 38 // 2 - 1) // 2]
    )


def test_units_are_standardised_by_the_samples_moments(data):
    phi, psi = data
    weight, gain = torch.eye(3).double(), torch.tensor([1.0, 2.0, 0.5]).double()
    a, b = kernels.linear_features(phi, psi, weight, gain)
    assert a.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(a.std(0, correction=0), gain, rtol=1e-4, atol=0)
    torch.testing.assert_close(b - a[:7], (psi - phi[:7]) * (a.std(0) / phi.std(0)))


def test_an_ill_conditioned_matrix_gets_jitter_and_a_hopeless_one_a_message():
    ones = torch.ones(50, 50, dtype=torch.float64)
    factor = kernels.cholesky(ones.clone, number(1e-20), number(1.0))
    torch.testing.assert_close(factor @ factor.T, ones, rtol=0, atol=2e-4)
    with pytest.raises(ValueError, match=r"50 samples .* λ = 0\.001, σ = 2, .* raise the ridge"):
        kernels.cholesky((-ones).clone, number(1e-3), number(2.0))


@pytest.mark.parametrize("n", [1, 7, 512, 1300])
def test_the_factor_takes_the_memory_of_the_matrix_and_is_that_of_torch(n):
    """Bit for bit; what is above the diagonal does not count."""
    x = torch.randn(n, 20, generator=torch.Generator().manual_seed(0)).double()
    matrix = x @ x.T + torch.eye(n).double()
    expected, _ = torch.linalg.cholesky_ex(matrix)
    matrix += torch.full((n, n), 7.0).double().triu(1)
    factor, info = kernels.factor_in_place(matrix)
    assert int(info) == 0
    assert factor.data_ptr() == matrix.data_ptr()
    assert torch.equal(factor, expected)
    b = torch.randn(n, 5).double()
    torch.testing.assert_close(kernels.solve(factor, b), torch.cholesky_solve(b, expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "polynomial", "degree": 0}, "degree must be at least 1"),
        ({"shape": "fourier"}, "needs features"),
        ({"features": 30}, "no other has them"),
    ],
)
def test_a_kernel_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Kernel(**arguments)
