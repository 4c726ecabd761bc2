import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwbench.evaluators.ais import AIS, Base, anneal, base_rates, interval, temperatures
from hwbench.models.rbm import RBM
from hwbench.protocols import Couplings, TestSplit, TrainSplit


def rbm(seed, visible=12, hidden=8, scale=0.7):
    """A random RBM far from its base rates, in float64."""
    torch.manual_seed(seed)
    model = RBM(visible, hidden).double()
    with torch.no_grad():
        model.weight.normal_(0, scale)
        model.visible_bias.normal_(0, 0.5)
        model.hidden_bias.normal_(0, 0.5)
    return model


def binary(n, d, seed=0):
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed)).round()


@pytest.mark.statistical
@pytest.mark.parametrize("hidden", [pytest.param(8, marks=pytest.mark.slow), 20])
@pytest.mark.parametrize("seed", range(4))
def test_log_z_is_within_its_interval(seed, hidden):
    """The 3σ interval of AIS holds the enumerated log Z, and is narrow."""
    model = rbm(seed, visible=30, hidden=hidden, scale=0.4)
    model.adapt(TrainSplit(binary(200, 30, seed)))
    evaluator = AIS(chains=100, schedule=[[0, 0.5, 100], [0.5, 1, 400]])
    points = TestSplit(binary(50, 30))
    found = evaluator(model, points, seed=seed)
    exact = model.log_partition().item()
    d = found.diagnostics
    assert d["log_z_low"] < exact < d["log_z_high"]
    assert d["log_z_high"] - d["log_z_low"] < 0.3
    assert d["log_z_low"] < d["log_z"] < d["log_z_high"]
    log_px = (-model.free_energy(points.values.double())).detach().numpy() - d["log_z"]
    np.testing.assert_allclose(found.per_point["log_px"], log_px, rtol=1e-5)
    metric = found.metrics["log_likelihood"]
    assert metric.value == pytest.approx(log_px.mean())
    assert metric.se == pytest.approx(log_px.std(ddof=1) / math.sqrt(50))
    assert (metric.n, metric.k, metric.kind) == (50, 100, "estimate")
    assert abs(d["log_z"] - exact) < 5 * metric.mc_se
    assert not found.warnings


def annealed_both_ways(model, betas, n):
    """Log w / its expectation, upwards from the base and downwards from exact samples."""
    d, hidden = model.weight.shape
    base = base_rates(torch.rand(d).double())
    log_ratio = (
        model.log_partition() - torch.nn.functional.softplus(base).sum() - hidden * math.log(2)
    )
    g = torch.Generator().manual_seed(0)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d))).double()
    below = (torch.rand(n, d, generator=g).double() < base.sigmoid()).double()
    p = (-model.free_energy(every)).softmax(0).detach()
    above = every[p.multinomial(n, replacement=True, generator=g)]
    both = Base(base, base.new_zeros(hidden))
    up = anneal(model.couplings(), both, betas, below, g) - log_ratio
    down = anneal(model.couplings(), both, betas.flip(0), above, g) + log_ratio
    return up, down


@pytest.mark.statistical
def test_weights_are_unbiased_in_both_directions():
    """E[w] = Z / Z_A upwards, Z_A / Z downwards, even with few steps: 5 standard errors."""
    model = rbm(1, visible=6, hidden=5)
    for log_w in annealed_both_ways(model, temperatures([[0, 0.5, 3], [0.5, 1, 3]]), 50_000):
        w = log_w.exp()
        assert abs(w.mean() - 1) < 5 * w.std() / len(w) ** 0.5
        assert w.std() > 0.1  # the test can tell


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_the_fast_weight_is_the_textbook_one(steps):
    """Same draws, same chains: replay them and add up log p*_k(s) − log p*_{k−1}(s)."""
    for scale in (0.5, 4.0, 40.0):  # the exponential form would lose digits, or overflow
        torch.manual_seed(2)
        weight, b, c = (scale * torch.randn(*n).double() for n in ((7, 5), (7,), (5,)))
        base = Base(torch.randn(7).double(), torch.randn(5).double())
        betas = temperatures([[0, 1, steps]])
        s = torch.rand(6, 7).double().round()
        log_w = anneal(Couplings(weight, b, c), base, betas, s, torch.Generator().manual_seed(5))

        def summed(beta, s, weight=weight, c=c, base=base):
            return (1 - beta) * base.summed + beta * (c + s @ weight)

        def log_p(beta, s, b=b, base=base, summed=summed):
            own = (1 - beta) * s @ base.kept + beta * s @ b
            return own + torch.logaddexp(summed(beta, s), s.new_zeros(())).sum(1)

        g, expected = torch.Generator().manual_seed(5), torch.zeros(6).double()
        for k, (before, beta) in enumerate(itertools.pairwise(betas)):
            expected += log_p(beta, s) - log_p(before, s)
            if k + 1 < steps:
                u = torch.rand(6, 5, generator=g)
                j = (u < summed(beta, s).sigmoid()).double()
                u = torch.rand(6, 7, generator=g)
                logits = (1 - beta) * base.kept + beta * (b + j @ weight.t())
                s = (u < logits.sigmoid()).double()
        torch.testing.assert_close(log_w, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(3))
def test_reverse_ais_brackets_log_z(seed):
    """Over 2000 rough runs of 5 chains the mean is low upwards, high downwards, by 5 s.e. each."""
    model = rbm(seed, visible=10, hidden=6, scale=1.5)
    up, down = annealed_both_ways(model, temperatures([[0, 1, 5]]), 10_000)
    for log_w, sign in [(up, 1), (down, -1)]:
        error_of_log_z = sign * (log_w.view(2000, 5).logsumexp(1) - math.log(5))
        assert sign * error_of_log_z.mean() < -5 * error_of_log_z.std() / 2000**0.5


@pytest.mark.statistical
def test_both_directions_meet_with_enough_temperatures():
    model = rbm(3, scale=0.5)
    evaluator = AIS(chains=200, schedule=[[0, 1, 500]], reverse=True, burn_in=200)
    found = evaluator(model, TestSplit(binary(100, 12)), seed=0)
    d, exact = found.diagnostics, model.log_partition().item()
    assert d["log_z_reverse_low"] < exact < d["log_z_reverse_high"]
    assert d["log_z_low"] < exact < d["log_z_high"]
    assert not found.warnings


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.floats(-1e4, 1e4, allow_subnormal=False)
        | st.sampled_from([math.inf, -math.inf, math.nan]),
        min_size=1,
        max_size=40,
    ),
    st.floats(0.1, 10),
)
def test_the_interval_is_never_nan_and_holds_the_estimate(log_w, sigmas):
    log_w = torch.tensor(log_w, dtype=torch.float64)
    low, high = interval(log_w, sigmas)
    mean = (log_w.logsumexp(0) - math.log(len(log_w))).item()
    if math.isfinite(mean):
        assert low <= mean <= high  # false for NaN
    else:
        assert (low, high) == (-math.inf, math.inf)


def test_the_interval_is_that_of_the_plain_weights():
    w = torch.tensor([1.0, 2.0, 4.0, 3.0], dtype=torch.float64)
    low, high = interval(w.log(), sigmas=1.0)
    error = w.std() / 2
    assert math.exp(low) == pytest.approx(2.5 - error.item())
    assert math.exp(high) == pytest.approx(2.5 + error.item())
    assert interval(w.log() * 5)[0] == -math.inf


def test_collapsed_weights_warn():
    model = rbm(0, visible=30, hidden=20, scale=3.0)
    points = TestSplit(binary(100, 30))
    evaluator = AIS(chains=50, schedule=[[0, 1, 2]], reverse=True, burn_in=20)
    found = evaluator(model, points, seed=0)
    assert any("collapsed: effective sample size" in w for w in found.warnings)
    assert any("upwards and downwards disagree" in w for w in found.warnings)
    one = AIS(chains=1, schedule=[[0, 1, 10]])(model, points, seed=0)
    assert one.warnings
    assert math.isnan(one.metrics["log_likelihood"].mc_se)


EVEN = [0.0, 0.1] * 25  # log weights of 50 chains that agree
BACK = [-w for w in EVEN]  # the same log Z, annealing downwards
ONE = [0.0] + [-90.0] * 49  # and of which one outweighs all others


@pytest.mark.parametrize(
    ("upwards", "downwards", "shift", "words"),
    [
        (EVEN, BACK, 0.0, []),
        (EVEN, BACK, -4.0, ["upwards and downwards disagree by 4.0 nats"]),
        (EVEN, BACK, 1.0, ["a log Z 1.0 nats below that upwards"]),
        (EVEN, ONE, 0.0, ["downwards have collapsed", "disagree by 3.9 nats"]),
        (ONE, BACK, 0.0, ["the AIS weights have collapsed", "disagree by 4.0 nats"]),
    ],
)
def test_what_annealing_both_ways_warns_of(monkeypatch, upwards, downwards, shift, words):
    """The weights are given, so that each warning is known to be due."""

    def weights(couplings, base, betas, *rest):
        rises = bool(betas[0] < betas[-1])
        return torch.tensor(upwards if rises else downwards).double() + (0.0 if rises else shift)

    monkeypatch.setattr("hwbench.evaluators.ais.anneal", weights)
    evaluator = AIS(chains=50, schedule=[[0, 1, 2]], reverse=True, burn_in=0)
    found = evaluator(rbm(0), TestSplit(binary(100, 12)), seed=0)
    assert len(found.warnings) == len(words)
    assert all(w in text for w, text in zip(words, found.warnings, strict=True))


def test_an_interval_that_is_open_below_warns():
    model, points = rbm(0, visible=30, hidden=20, scale=0.3), TestSplit(binary(100, 30))
    found = AIS(chains=20, schedule=[[0, 1, 1]])(model, points, seed=0)
    assert found.diagnostics["ess"] > 2  # and more than a tenth of the chains
    assert found.diagnostics["log_z_low"] == -math.inf
    assert any("collapsed" in w for w in found.warnings)


def test_the_seed_decides_and_the_model_stays_as_it_was():
    model = rbm(0).float()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    points = TestSplit(binary(20, 12))
    state = torch.get_rng_state()
    values = [AIS.tiny()(model, points, seed=s).diagnostics for s in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    assert torch.equal(state, torch.get_rng_state())
    assert all(
        torch.equal(v, before[k]) and v.dtype == before[k].dtype
        for k, v in model.state_dict().items()
    )


def test_groups_of_chains_and_progress():
    seen = []
    found = AIS(chains=250, schedule=[[0, 1, 20]])(
        rbm(0), TestSplit(binary(20, 12)), seed=0, progress=seen.append
    )
    assert found.metrics["log_likelihood"].k == 250
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_grey_points_are_a_score_and_resampled_ones_are_drawn():
    grey = (binary(20, 12) * 100 + 50).byte()
    score = AIS.tiny()(rbm(0), TestSplit(grey, scale=255.0), seed=0)
    assert score.metrics["log_likelihood"].kind == "score"
    drawn = AIS.tiny()(rbm(0), TestSplit(grey, scale=255.0, resample=True), seed=0)
    assert drawn.metrics["log_likelihood"].kind == "estimate"


def test_base_rates_are_those_of_the_fact_sheet():
    """5 pseudo-counts of `on` for 100 points, in minibatches of 100."""
    v = binary(300, 4)
    expected = (v.sum(0) + 5 * 3) / (100 * 3 + 5 * 3)
    torch.testing.assert_close(base_rates(v.mean(0)).sigmoid(), expected)
    assert base_rates(torch.ones(1)).isfinite().all()


def test_the_published_schedule_has_14500_steps():
    betas = AIS().betas
    assert len(betas) == 14_501
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (betas.diff() > 0).all()
    assert betas[500] == 0.5
    assert betas[4500] == 0.9
    torch.testing.assert_close(
        betas.diff()[[0, 600, 5000]], torch.tensor([1e-3, 1e-4, 1e-5]).double()
    )


@pytest.mark.parametrize(
    "schedule",
    [
        [],
        [[0, 1, 0]],
        [[0, 1, 1.5]],
        [[0.1, 1, 5]],
        [[0, 0.9, 5]],
        [[0, 0.5, 5], [0.6, 1, 5]],
        [[1, 0, 5]],
        [[0, 1]],
    ],
)
def test_bad_schedules(schedule):
    with pytest.raises(ValueError, match="must lead from 0 to 1"):
        AIS(schedule=schedule)


@pytest.mark.parametrize("bad", [{"chains": 0}, {"burn_in": -1}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match="AIS: expected chains"):
        AIS(**bad)
