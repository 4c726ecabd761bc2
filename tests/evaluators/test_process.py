import numpy as np
import pytest
import torch

from hwbench.datasets.sines import Sines
from hwbench.evaluators.process import TargetLogLikelihood
from hwbench.models.process import NeuralProcess
from hwbench.protocols import TestSplit


def test_a_process_without_latent_dependence_has_an_exact_likelihood():
    """If f and g ignore z, all samples agree: the sum of Gaussian log densities at the targets."""
    torch.manual_seed(0)
    model = NeuralProcess(visible=6, units=4, latents=2)
    with torch.no_grad():
        model.value.weight.zero_()
        model.noise.weight.zero_()
    points = TestSplit(torch.randn(3, 6))
    found = TargetLogLikelihood(k=3, context=2, extra=4)(model, points, seed=0)
    value, scale = model.predict(torch.zeros(2), torch.arange(6))
    each = torch.distributions.Normal(value, scale).log_prob(points.values)
    least, most = each.topk(4, largest=False).values.sum(1), each.topk(4).values.sum(1)
    kept = found.per_point["target_log_likelihood"]
    assert (kept >= least.detach().numpy() - 1e-5).all()
    assert (kept <= most.detach().numpy() + 1e-5).all()
    assert found.metrics["target_log_likelihood"].value == pytest.approx(kept.mean(), abs=1e-6)
    np.testing.assert_array_equal(found.per_point["function"][0], points.values[0])
    assert found.per_point["predicted"].shape == (3, 6)


def test_sines_have_the_moments_of_amplitude_and_shift():
    """E y² at x = π/2 is E a² E cos² b + 0.01, with E a² = 1/4, within five standard errors."""
    y = Sines(places=5, functions=20_000).load(0).train.values[:, 3].double()
    expected = 0.25 * (0.5 + np.sin(1.0) / 2) + 0.01
    squares = y.square()
    assert abs(squares.mean() - expected) < 5 * squares.std() / 20_000**0.5
