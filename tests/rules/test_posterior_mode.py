import pytest
import torch

from hwbench.models.factorisation import NonnegativeFactorisation
from hwbench.protocols import TrainSplit
from hwbench.rules.kernel import AmortisedLearning
from hwbench.rules.posterior_mode import PosteriorMode
from tests.laws.declared import joint_density

LEARNS = {"posterior_mode.PosteriorMode": joint_density}
WAITS = {"posterior_mode.PosteriorMode": "what its rule around amortised learning waits for"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return NonnegativeFactorisation(6, factors=2, start=(0.2, 1.5))


def test_the_mode_of_the_posterior_adds_the_prior_over_the_number_of_points(model):
    """Value and gradient, around any rule, with the rule's own random numbers."""
    x = (torch.rand(20, 6) < 0.3).float()
    both = {}
    inner = {"use": "kernel.AmortisedLearning", "samples": 100}
    for name, rule in (
        ("with", PosteriorMode(inner)),
        ("without", AmortisedLearning(samples=100)),
    ):
        model.zero_grad()
        rule.begin(model, TrainSplit(x.repeat(7, 1)))
        torch.manual_seed(2)
        loss = rule.backward(model, x)
        both[name] = (loss, model.generative.log_weight.grad.clone())
    prior = model.log_parameter_prior() / 140
    (gradient,) = torch.autograd.grad(prior, [model.generative.log_weight])
    torch.testing.assert_close(both["with"][0], both["without"][0] - prior.detach())
    torch.testing.assert_close(both["with"][1], both["without"][1] - gradient)


def test_the_mode_of_a_posterior_needs_a_rule_for_the_model(model):
    with pytest.raises(ValueError, match="ELBO needs a HelmholtzMachine; NonnegativeFactor"):
        PosteriorMode({"use": "bounds.ELBO"}).check(model)
