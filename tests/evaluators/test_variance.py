import math

import pytest
import torch

from hwbench.build import BuildError
from hwbench.evaluators.variance import GradientVariance
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.smooth import SmoothHelmholtzMachine
from hwbench.protocols import TestSplit
from hwbench.rules.backprop import StochasticBackpropagation

POINTS = TestSplit(torch.rand(6, 8, generator=torch.Generator().manual_seed(0)).round().byte())
PATHWISE = {"use": "backprop.StochasticBackpropagation"}


def make(layers):
    torch.manual_seed(0)
    return SmoothHelmholtzMachine(8, layers)


@pytest.mark.statistical
def test_it_is_the_mean_over_points_of_their_own_variances():
    """Against single-point gradients; 5 standard errors of the difference."""
    model = make([3, 2])
    rule, parameters = StochasticBackpropagation(), list(model.recognition.parameters())
    torch.manual_seed(0)
    own = []
    for x in POINTS.values.float():
        found = [torch.autograd.grad(rule(model, x[None]), parameters) for _ in range(100)]
        flat = torch.stack([torch.cat([g.flatten() for g in gs]) for gs in found])
        deviation = (flat - flat.mean(0)).square().sum(1) * 100 / 99
        own.append((deviation.mean(), deviation.std() / math.sqrt(100)))
    expected = torch.stack([m for m, _ in own]).mean().item()
    own_error = torch.stack([e for _, e in own]).norm().item() / len(own)
    metric = GradientVariance(PATHWISE, repeats=200)(model, POINTS, seed=0).metrics[
        "gradient_variance"
    ]
    assert abs(metric.value - expected) < 5 * math.hypot(metric.mc_se, own_error) < 0.5 * expected


@pytest.mark.statistical
def test_reinforce_grows_with_the_units_and_backpropagation_is_below():
    """The variances are many errors apart; the ratio between sizes is above 2 for 4 × the units."""
    found = {}
    for units in (5, 20):
        for name, rule in {"score": {"use": "reinforce.REINFORCE"}, "path": PATHWISE}.items():
            out = GradientVariance(rule, repeats=200)(make([units]), POINTS, seed=0)
            found[name, units] = out.metrics["gradient_variance"]
            assert out.diagnostics["hidden"] == units
    assert found["score", 20].value > 2 * found["score", 5].value
    for units in (5, 20):
        a, b = found["score", units], found["path", units]
        assert a.value - b.value > 5 * math.hypot(a.mc_se, b.mc_se)


def test_other_scales_of_the_variance():
    """Logarithm and mean over parameters, each with its error: 3 (8 + 1) + 3 of them here."""
    found = GradientVariance(PATHWISE, repeats=40)(make([3]), POINTS, seed=0).metrics
    whole = found["gradient_variance"]
    log, mean = found["log_gradient_variance"], found["gradient_variance_per_parameter"]
    assert log.value == pytest.approx(math.log(whole.value))
    assert log.mc_se == pytest.approx(whole.mc_se / whole.value)
    assert (mean.value, mean.mc_se) == pytest.approx((whole.value / 30, whole.mc_se / 30))


@pytest.mark.statistical
def test_where_one_unit_is_many_the_variance_grows_in_proportion():
    """REINFORCE's F̂ is the same if units do nothing; 4 × the units, log 4 more log variance."""
    found = {}
    for units in (5, 20):
        model = make([units])
        with torch.no_grad():
            model.generative[0].weight.zero_()
            for p in model.recognition.parameters():
                p.zero_()  # q = N(0, I) is the prior: F̂ = −log p(x), whatever h
        rule = {"use": "reinforce.REINFORCE", "baseline": "none"}
        out = GradientVariance(rule, repeats=400)(model, POINTS, seed=0)
        found[units] = out.metrics["log_gradient_variance"]
    error = math.hypot(found[5].mc_se, found[20].mc_se)
    assert abs(found[20].value - found[5].value - math.log(4)) < 5 * error < 1.0


def test_signal_to_noise_is_that_of_the_mean():
    """100 samples instead of one: 100 times the ratio."""
    one = GradientVariance(PATHWISE, repeats=200)(make([3]), POINTS, seed=0)
    many = GradientVariance(PATHWISE | {"k": 100}, repeats=200)(make([3]), POINTS, seed=0)
    name = "gradient_signal_to_noise"
    assert many.metrics[name].value == pytest.approx(100 * one.metrics[name].value, rel=0.5)


@pytest.mark.parametrize(
    "rule",
    [
        {"use": "reinforce.REINFORCE", "baseline": "network"},
        {"use": "reweighted.ReweightedWakeSleep", "k": 1, "wake": False},
    ],
)
def test_other_rules_and_the_model_stays_as_it_was(rule):
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(8, [3, 2])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    evaluator = GradientVariance(rule, repeats=20)
    a, b = (evaluator(model, POINTS, seed=3).metrics for _ in range(2))
    assert repr(a) == repr(b)  # to the bit; NaN is itself
    assert all(m.value > 0 for n, m in a.items() if n.startswith("gradient_variance"))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_bad_input():
    with pytest.raises(ValueError, match="needs repeats ≥ 20"):
        GradientVariance(PATHWISE, repeats=5)
    with pytest.raises(BuildError, match="did you mean"):
        GradientVariance({"use": "reinforce.REINFORC"})
    with pytest.raises(ValueError, match="trains a GaussianHelmholtzMachine"):
        GradientVariance(PATHWISE)(BinaryHelmholtzMachine(8, [3]), POINTS, seed=0)
