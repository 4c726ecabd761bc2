import pytest
import torch
from torch.distributions import Normal

from hwbench.datasets.neuron import Neuron
from hwbench.evaluators.neuron import ParameterError
from hwbench.membrane import GATES, START, TRUE, Membrane, drift, gate_step, rates, simulate
from hwbench.models.neuron import INITIAL, HodgkinHuxley


@pytest.fixture
def model():
    return HodgkinHuxley(visible=6).double()


def test_the_log_joint_is_that_of_a_loop(model):
    """Step by step, with torch's own densities."""
    torch.manual_seed(0)
    x, (v,) = model.dream(2)
    own = model.membrane()
    before, gates = torch.full((2,), START).double(), torch.tensor(GATES).double().expand(2, 3)
    log_p = torch.zeros(2).double()
    for t in range(6):
        expected = drift(before, gates, model.injected[t], own)
        log_p = log_p + Normal(expected, own.process).log_prob(v[:, t])
        log_p = log_p + Normal(v[:, t], own.noise).log_prob(x[:, t])
        alpha, beta = rates(before, own.threshold)
        before, gates = v[:, t], gate_step(gates, alpha, beta)
    torch.testing.assert_close(model.log_joint(x, [v]), log_p)


def test_gradients_flow_through_the_gates(model):
    """∂/∂V_t of log p(V) against central differences: the threshold acts by the gates alone."""
    torch.manual_seed(0)
    v = -70 + 60 * torch.rand(3, 6).double()
    (found,) = torch.autograd.grad(model.log_potential(v).sum(), model.threshold)
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            model.threshold += step
            values.append(model.log_potential(v).sum().item())
            model.threshold -= step
    assert found.item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)
    assert abs(found.item()) > 1


def test_mean_score_of_one_step_is_the_gradient_of_a_gaussian():
    """ALWS-C4 where p(x) is known: x ~ N(V after a step, σ_p² + σ²); a fine grid of V."""
    model = HodgkinHuxley(visible=1).double()
    x, theta = torch.tensor([[-95.0]]).double(), list(model.parameters())
    with torch.no_grad():
        model.noise.fill_(0.5)
    own = model.membrane()
    start, gates = torch.tensor([START]).double(), torch.tensor([GATES]).double()
    mean = drift(start, gates, model.injected.double(), own)
    exact = Normal(mean, (own.process**2 + own.noise**2).sqrt()).log_prob(x).sum()
    v = torch.linspace(float(mean.detach()) - 40, float(mean.detach()) + 20, 20_001).double()
    log_p = model.log_joint(x, [v[:, None, None]])[:, 0]
    score = torch.autograd.grad(log_p.detach().softmax(0) @ log_p, theta, allow_unused=True)
    wanted = torch.autograd.grad(exact, theta, allow_unused=True)
    assert sum(found is not None for found in wanted) >= 9  # rates act one step later
    for a, b in zip(score, wanted, strict=True):
        zero = torch.zeros(1).double()
        torch.testing.assert_close(zero if a is None else a, zero if b is None else b)


def test_parameters_start_where_the_code_starts(model):
    found = model.parameters_of_membrane()
    assert found == pytest.approx(INITIAL._asdict(), rel=1e-6)


def test_errors_are_relative_to_the_true_parameters():
    """0 at the truth; the start has a mean that is known."""
    model, points = HodgkinHuxley(visible=10), Neuron(steps=10).load(0).test
    start = ParameterError(samples=5)(model, points, seed=0).metrics
    errors = [abs(a - b) / abs(b) for a, b in zip(INITIAL, TRUE, strict=True)]
    assert start["parameter_error"].value == pytest.approx(sum(errors) / 10, rel=1e-5)
    assert start["error_capacitance"].value == pytest.approx(1.0, rel=1e-5)
    with torch.no_grad():
        for name, value in TRUE._asdict().items():
            getattr(model, name).copy_(torch.tensor(abs(value)).log())
    assert ParameterError(samples=5)(model, points, seed=0).metrics[
        "parameter_error"
    ].value == pytest.approx(0, abs=1e-6)


def test_the_data_are_measured_with_the_true_noise():
    """A deviation of 1 mV from the same series without it, within five standard errors."""
    x = Neuron(steps=400).load(0).train.values[0].double()
    quiet = TRUE._replace(process=0.0)
    assert isinstance(quiet, Membrane)
    assert x.std() > 5  # it spikes
    steps = (x[1:40] - x[:39]).std()  # before the current starts, differences are noise
    assert abs(steps / 2**0.5 - 1) < 5 / (2 * 39) ** 0.5
    assert simulate(quiet, torch.zeros(3), torch.zeros(3, 1)).shape == (1, 3)
