import math

import pytest
import torch

from hwbench import build
from hwbench.evaluators.exact import latent_configurations
from hwbench.kernels import ExactRidge, Kernel
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.softplus import SoftplusGaussian
from hwbench.protocols import TrainSplit
from hwbench.rules.kernel import AmortisedLearning

WAITS = {"kernel.AmortisedLearning": "whether the Cholesky factorisation needs jitter"}
FOURIER = Kernel("fourier", features=50)


@pytest.fixture
def model():
    return SoftplusGaussian(1, (1.0, 0.5), 0.5).double()


@pytest.fixture
def x(model):
    torch.manual_seed(1)
    return model.dream(20)[0]


def begun(model, **arguments):
    rule = AmortisedLearning(**arguments)
    rule.begin(model, TrainSplit(torch.zeros(4, model.visible)))
    return rule


def gradients(f, model):
    """Return the gradient of each entry of f by the slope: [B, 2]."""
    rows = torch.eye(len(f)).double()
    return torch.autograd.grad(f, model.slope, rows, is_grads_batched=True)[0]


def test_gradient_of_the_regression_is_the_regression_of_the_gradient(model, x):
    """ALWS-C3, to 1e-6: regress the scores, or differentiate the regression."""
    rule = begun(model, samples=300)
    torch.manual_seed(2)
    found = gradients(rule.estimate(model, x), model)
    torch.manual_seed(2)
    dreams, h = model.dream(300)
    each = gradients(model.log_joint(dreams, [h[0][None]])[0], model)  # [N, 2]
    centre = dreams.mean(0)
    width = rule._width(dreams - centre)
    weights = ExactRidge(dreams - centre, Kernel(), width, rule.log_ridge.exp())
    assert torch.allclose(found, weights.weights(x - centre).T @ each, atol=1e-6)


def test_with_the_same_dreams_the_step_is_linear_in_the_scores(model, x):
    """α is constant: adding c·b to the log joint adds c times the sum of α to the step."""
    rule = begun(model, samples=200)

    class Tilted(SoftplusGaussian):
        def log_joint(self, x, h):
            return super().log_joint(x, h) + 3.0 * self.slope.sum()

    tilted = Tilted(1, (1.0, 0.5), 0.5).double()
    shares = []
    for one in (model, tilted):
        torch.manual_seed(2)
        shares.append(gradients(rule.estimate(one, x), one))
    torch.manual_seed(2)
    dreams, _ = model.dream(200)
    regression, psi = rule._regression(dreams, x)
    expected = shares[0] + 3.0 * regression.weights(psi).sum(0)[:, None]
    torch.testing.assert_close(shares[1], expected)


@pytest.mark.parametrize("form", ["plain", "exponential"])
@pytest.mark.parametrize("kernel", [Kernel(), FOURIER], ids=["exact", "fourier"])
def test_the_loss_is_minus_the_mean_estimate(form, kernel, model, x):
    """The contraction before differentiating changes nothing, neither value nor gradient."""
    rule = begun(model, samples=200, form=form, kernel=kernel)
    torch.manual_seed(2)
    loss = rule(model, x)
    torch.manual_seed(2)
    estimate = -rule.estimate(model, x).mean()
    torch.testing.assert_close(loss, estimate)
    own, other = (torch.autograd.grad(v, model.slope)[0] for v in (loss, estimate))
    torch.testing.assert_close(own, other)


@pytest.mark.parametrize("kernel", [Kernel(units=3), FOURIER], ids=["units", "fourier"])
def test_the_adaptive_kernel_learns_to_predict_fresh_dreams(kernel):
    """And only the kernel: the model is as it was, and gets the gradient of the kernel it had."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(visible=6, layers=[3], init="glorot", bias=0.0)
    rule = begun(
        model, samples=200, kernel=kernel, ridge=5.0, adaptive=True, validation=100, kernel_lr=0.05
    )

    def error():
        """Return the squared error over fresh dreams, and the constant of the frozen part."""
        torch.manual_seed(9)
        dreams, h = model.dream(200)
        fresh, h_v = model.dream(2000)
        with torch.no_grad():
            targets = model.log_joint(dreams, [h_l[None] for h_l in h])[0]
            wanted = model.log_joint(fresh, [h_l[None] for h_l in h_v])[0]
            regression, psi = rule._regression(dreams, fresh)
            return float((regression.weights(psi).T @ targets.double() - wanted).square().mean())

    before, state = error(), {k: v.clone() for k, v in model.state_dict().items()}
    start = rule.log_ridge.clone()
    x, _ = model.dream(10)
    for seed in range(40):
        torch.manual_seed(seed)
        rule(model, x)
    assert error() < 0.9 * before
    assert not torch.equal(start, rule.log_ridge)
    assert not any(parameter.requires_grad for parameter in rule.buffers())
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


@pytest.mark.statistical
def test_more_dreams_come_nearer_to_the_enumerated_gradient():
    """On a sigmoid belief net, ten times as many dreams at least halve the error."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(visible=4, layers=[3], init="glorot", bias=0.0).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    x = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0]]).double()
    theta = list(model.generative.parameters())

    def flat(value):
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, theta)])

    configurations = next(latent_configurations([3], len(x)))
    log_p = model.log_joint(x, [h_l.double() for h_l in configurations]).logsumexp(0)
    exact = flat(log_p.mean())
    errors = {}
    for n in (100, 1000):
        rule = begun(model, samples=n, width=1.0)
        draws = torch.stack([flat(-rule(model, x)) for _ in range(20)])
        errors[n] = (draws - exact).norm(dim=1).mean() / exact.norm()
    assert errors[1000] < errors[100] / 2


def test_it_trains_the_suites_own_nets():
    """A belief net learns four patterns: its exact log-likelihood rises above independent bits."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(visible=6, layers=[4], init="glorot", bias=0.0)
    x = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(20, 1)
    rule = begun(model, samples=100, width=1.5, ridge=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        rule.backward(model, x)
        optimizer.step()
    h = next(latent_configurations([4], 2))
    log_p = model.log_joint(x[:2], h).logsumexp(0).detach()
    assert float(log_p.mean()) > -6 * math.log(2) + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 1}, "samples must be at least 2"),
        ({"samples": 5001}, "at most 5000 samples"),
        ({"samples": 40, "kernel": FOURIER}, "40 samples, 50 features"),
        ({"ridge": 0.0}, "ridge must be above 0"),
        ({"width": 0.0}, "width must be above 0"),
        ({"adaptive": True}, "adaptive needs validation"),
        ({"validation": 10}, "adaptive needs validation"),
    ],
)
def test_it_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        AmortisedLearning(**arguments)


def test_a_spec_gives_the_kernel_as_a_mapping():
    block = {"use": "kernel.AmortisedLearning", "samples": 50}
    rule = build.make("rule", {**block, "kernel": {"shape": "matern32", "units": 3}})
    assert rule.kernel == Kernel("matern32", units=3)
    for kernel, message in (({"shap": "x"}, "Unexpected"), ({"degree": 0}, "greater")):
        with pytest.raises(build.BuildError, match=message):
            build.make("rule", {**block, "kernel": kernel})


def test_the_exponential_form_is_refused_where_there_is_none():
    rule = AmortisedLearning(form="exponential")
    with pytest.raises(ValueError, match=r"needs an ExponentialDreamer; BinaryHelmholtzMachine"):
        rule.check(BinaryHelmholtzMachine.tiny())


def test_dreams_that_are_all_alike_name_the_step(x):
    model = BinaryHelmholtzMachine(visible=4, layers=[2], bias=-50.0)
    rule = begun(model, samples=20)
    rule.steps += 6
    with pytest.raises(ValueError, match=r"at step 7 most of the 20 dreams are alike"):
        rule(model, torch.zeros(2, 4))
