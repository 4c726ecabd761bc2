import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from hwbench.models.process import NeuralProcess
from hwbench.protocols import ProcessModel, TrainSplit
from hwbench.rules.process import AmortisedProcess, GivenContext, ProcessObjective


class Line(ProcessModel):
    """y_t ~ N(z w_t, g²) with a prior N(m, s²) of z that ignores the context: all is Gaussian."""

    visible = 6

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 0.3, 1.0, -0.7]).double())
        self.mean = torch.nn.Parameter(torch.tensor([0.4]).double())
        self.log_scale = torch.nn.Parameter(torch.tensor([-0.2]).double())

    @classmethod
    def tiny(cls):
        return cls()

    def latent(self, places, y):
        shape = (*y.shape[:-1], 1)
        return self.mean.expand(shape), self.log_scale.exp().expand(shape)

    def predict(self, z, places):
        mean = z * self.weight[places]
        return mean, torch.full_like(mean, 0.5)

    def log_prob(self, y, places):
        """Return log p(y) of values at some places, in closed form."""
        w, variance = self.weight[places], (2 * self.log_scale).exp()
        covariance = variance * torch.outer(w, w) + 0.25 * torch.eye(len(w))
        return MultivariateNormal(self.mean * w, covariance).log_prob(y)


def given(model):
    targets = torch.tensor([4, 1, 2])
    y = torch.randn(model.visible).double()
    return GivenContext(model, (targets[:2], y[targets[:2]]), targets)


def test_both_forms_of_the_log_joint_agree():
    """Densities are torch's own; the natural form differs by no constant here."""
    torch.manual_seed(0)
    model = given(NeuralProcess.tiny().double())
    x, h = model.dream(7)
    form = (model.natural(h) * model.statistics(x)).sum(1) - model.normaliser(h)
    torch.testing.assert_close(form, model.log_joint(x, [h_l[None] for h_l in h])[0])


def test_amortised_learning_of_a_line_has_the_gradient_of_log_p():
    """Averaged over 10 sets of 1000 dreams: within 10 % of the exact gradient."""
    torch.manual_seed(0)
    model = Line()
    inner = {"use": "kernel.AmortisedLearning", "samples": 1000, "form": "exponential"}
    rule = AmortisedProcess(inner, context=1, extra=1)
    y = torch.tensor([[0.3, -0.5, 0.8, 0.1, 0.2, -0.4]]).double()
    rule.begin(model, TrainSplit(y.float()))
    rule._places = lambda x: (torch.tensor([2]), torch.tensor([2, 4]))
    for _ in range(10):
        (rule(model, y) / 10).backward()
    found = torch.cat([p.grad for p in model.parameters()])
    exact = model.log_prob(y[0, [2, 4]], torch.tensor([2, 4]))
    wanted = torch.cat(torch.autograd.grad(-exact, list(model.parameters())))
    assert (found - wanted).norm() < 0.1 * wanted.norm()


@pytest.mark.statistical
def test_the_objective_of_a_line_is_below_its_log_likelihood():
    """With q(z | T) = q(z | C) it is E log p(y_T | z): in closed form, within 5 standard errors."""
    torch.manual_seed(0)
    model, rule = Line(), ProcessObjective(context=1, extra=5)
    y = torch.tensor([[0.3, -0.5, 0.8, 0.1, 0.2, -0.4]]).double()
    with torch.no_grad():
        values = torch.stack([-rule(model, y) for _ in range(400)])
        mean, variance = model.mean, (2 * model.log_scale).exp()
        expected = Normal(mean * model.weight, 0.5).log_prob(y[0]).sum()
        expected = expected - 0.5 * (variance * model.weight.square()).sum() / 0.25
        assert expected < model.log_prob(y[0], torch.arange(6))
    assert (values.mean() - expected).abs() < 5 * values.std() / 400**0.5


def test_targets_begin_with_the_context_and_do_not_repeat():
    context, targets = AmortisedProcess.tiny()._places(torch.zeros(3, 6))
    assert torch.equal(targets[:2], context)
    assert len(set(targets.tolist())) == 4


@pytest.mark.parametrize("cls", [AmortisedProcess, ProcessObjective])
def test_a_process_with_too_few_places_is_refused(cls):
    model = NeuralProcess(visible=3, units=2, latents=1)
    with pytest.raises(ValueError, match="2 context and 2 further places are 4, and functions"):
        cls.tiny().check(model)


@pytest.mark.parametrize("use", ["bounds.ELBO", "posterior.GaussianPosterior"])
def test_a_rule_that_cannot_train_a_process_is_refused(use):
    """Before anything is run: the process has no recognition net and no standard normal prior."""
    rule = AmortisedProcess({"use": use}, context=2, extra=2)
    with pytest.raises(ValueError, match=rf"{use.split('.')[1]} needs a \w+, and a process given"):
        rule.check(NeuralProcess.tiny())
