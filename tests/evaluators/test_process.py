import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from hwbench.datasets.sines import Sines
from hwbench.evaluators.process import TargetLogLikelihood
from hwbench.models.process import NeuralProcess
from hwbench.protocols import ProcessModel, TestSplit


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


class Shifted(ProcessModel):
    """y_t ~ N(z, ½²) with z ~ N(s, 0.6²), where s is the sum of the context's values."""

    visible = 6

    @classmethod
    def tiny(cls):
        return cls()

    def latent(self, places, y):
        self.context = set(places.tolist())
        mean = y.sum(-1, keepdim=True)
        return mean, torch.full_like(mean, 0.6)

    def predict(self, z, places):
        if len(places) < self.visible:
            assert not self.context & set(places.tolist())
        mean = z.expand(*z.shape[:-1], len(places))
        return mean, torch.full_like(mean, 0.5)


@pytest.mark.statistical
def test_the_likelihood_is_that_of_all_targets_together():
    """Values are alike, so the choice of places makes no difference; within 5 standard errors."""
    y, k = torch.full((1, 6), 0.3), 20_000
    evaluator = TargetLogLikelihood(k=k, context=2, extra=4)
    found = evaluator(Shifted(), TestSplit(y), seed=0).metrics["target_log_likelihood"].value
    covariance = 0.36 * torch.ones(4, 4).double() + 0.25 * torch.eye(4).double()
    given, mean = torch.full((4,), 0.3).double(), torch.full((4,), 0.6).double()
    exact = float(MultivariateNormal(mean, covariance).log_prob(given))
    draws = 0.6 + 0.6 * torch.randn(k, 1, generator=torch.Generator().manual_seed(1)).double()
    w = Normal(draws, 0.5).log_prob(given).sum(1).exp()
    assert abs(found - exact) < 5 * float(w.std() / w.mean()) / k**0.5
    apart = float(Normal(mean, covariance.diagonal().sqrt()).log_prob(given).sum())
    assert abs(found - apart) > 0.5


def test_functions_with_too_few_places_are_refused():
    """In place of fewer targets than asked for."""
    evaluator = TargetLogLikelihood(k=3, context=2, extra=5)
    with pytest.raises(ValueError, match="2 context and 5 target places are 7, and functions have"):
        evaluator(Shifted(), TestSplit(torch.zeros(1, 6)), seed=0)
    with pytest.raises(ValueError, match="2 context and 5 target places are 7, and functions have"):
        evaluator.refuse(Shifted(), (6,))


def test_sines_have_the_moments_of_amplitude_and_shift():
    """E y² at x = π/2 is E a² E cos² b + 0.01, with E a² = 1/4, within five standard errors."""
    y = Sines(places=5, functions=20_000).load(0).train.values[:, 3].double()
    expected = 0.25 * (0.5 + np.sin(1.0) / 2) + 0.01
    squares = y.square()
    assert abs(squares.mean() - expected) < 5 * squares.std() / 20_000**0.5
