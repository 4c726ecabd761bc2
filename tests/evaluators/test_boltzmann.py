"""AIS and the variational bound of deep Boltzmann machines against enumeration."""

import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.ais import Base, anneal, base_rates, temperatures
from hwbench.evaluators.boltzmann import VariationalBound
from hwbench.numerics import generator
from hwbench.protocols import Couplings, TestSplit

SHAPES = [
    (5, (4, 3)),
    (3, (6, 2)),
    (4, (3, 4, 2)),
]  # fewer odd units, fewer even ones, three layers
shapes = pytest.mark.parametrize(("visible", "layers"), SHAPES)


def points(n, d):
    return TestSplit(torch.rand(n, d, generator=torch.Generator().manual_seed(0)).round())


@pytest.mark.statistical
@pytest.mark.parametrize("base", ["model", "data", "uniform"])
@shapes
def test_log_z_is_within_its_interval_and_the_bound_below_log_p(
    visible, layers, base, random_dbm, enumerated
):
    """Of 32 intervals of 3σ one may miss (two do once in 290 runs), and their σ is the error's.

    The bound is that of enumeration exactly, but for log Z.
    """
    z = []
    for seed in range(16):
        model = random_dbm(seed, visible, layers)
        with torch.no_grad():
            model.data_means.uniform_(0.1, 0.9)
        exact = enumerated(model)
        evaluator = VariationalBound(
            chains=100,
            schedule=[[0, 0.5, 50], [0.5, 1, 150]],
            reverse=True,
            burn_in=100,
            base=base,
        )
        split = points(40, visible)
        found = evaluator(model, split, seed=seed)
        d, log_z = found.diagnostics, exact.log_z.item()
        for way in ("log_z", "log_z_reverse"):
            width = d[f"{way}_high"] - d[f"{way}_low"]
            assert width < 0.3
            z.append((d[way] - log_z) / (width / 6))
        assert not found.warnings
        x = split.values.double()
        code = (x @ 2.0 ** torch.arange(visible - 1, -1, -1).double()).long()
        bound = (model.bound(x, model.mean_field(x, 200)) - exact.log_z).detach()
        assert (bound < exact.log_px[code] + 1e-9).all()
        log_px = bound.numpy() + log_z - d["log_z"]
        np.testing.assert_allclose(found.per_point["log_px"], log_px, atol=1e-5)
        metric = found.metrics["log_likelihood"]
        assert metric.value == pytest.approx(log_px.mean(), abs=1e-5)
        assert (metric.n, metric.k, metric.kind) == (40, 100, "lower bound")
        assert abs(d["log_z"] - log_z) < 5 * metric.mc_se
    assert sum(abs(v) > 3 for v in z) <= 1
    assert max(map(abs, z)) < 5
    assert np.mean(np.square(z)) < 1.9  # χ² of 32 degrees: once in 630 runs by chance


@pytest.mark.statistical
@pytest.mark.parametrize("transposed", [False, True])
def test_weights_are_unbiased_in_both_directions(transposed, random_dbm, enumerated):
    """E[w] = Z / Z_A upwards, Z_A / Z downwards, even with few steps and any base: 5 s.e."""
    model = random_dbm(1, 4, (3, 3))
    exact = enumerated(model)
    weight, even, odd = (p.detach() for p in model.couplings())
    couplings = Couplings(weight.t(), odd, even) if transposed else Couplings(weight, even, odd)
    torch.manual_seed(0)
    base = Base(*(0.7 * torch.randn(len(p)).double() for p in couplings[1:]))
    betas, n = temperatures([[0, 0.5, 3], [0.5, 1, 3]]), 30_000
    g = torch.Generator().manual_seed(0)
    p = exact.log_joint.exp().flatten().detach()
    side = torch.cat(exact.states[1::2] if transposed else exact.states[::2], 1)
    above = side[p.multinomial(n, replacement=True, generator=g)]
    log_ratio = exact.log_z.item() - base.log_z
    for sign, start, path in ((-1, base.draw(n, g), betas), (1, above, betas.flip(0))):
        w = (anneal(couplings, base, path, start, g) + sign * log_ratio).exp()
        assert abs(w.mean() - 1) < 5 * w.std() / n**0.5
        assert w.std() > 0.1  # the test can tell


@shapes
def test_the_smaller_side_is_kept_and_pixels_start_at_their_base_rates(visible, layers, random_dbm):
    model = random_dbm(0, visible, layers)
    with torch.no_grad():
        model.data_means.uniform_(0.1, 0.9)
    (weight, *_), base = VariationalBound(base="data").path(model)
    even, odd = visible + sum(layers[1::2]), sum(layers[0::2])
    assert weight.shape == (min(even, odd), max(even, odd))
    of_pixels, others = (base.summed, base.kept) if odd < even else (base.kept, base.summed)
    torch.testing.assert_close(of_pixels[:visible], base_rates(model.data_means))
    assert not of_pixels[visible:].any()
    assert not others.any()


@pytest.mark.statistical
@shapes
def test_chains_back_start_at_the_units_kept_of_the_model(visible, layers, random_dbm, enumerated):
    """After some sweeps from any points they have the machine's means, within 5 s.e."""
    model, n = random_dbm(2, visible, layers), 20_000
    exact = enumerated(model)
    p = exact.log_joint.exp().flatten().detach()
    torch.manual_seed(0)
    kept = VariationalBound(burn_in=30).relaxed(model, torch.rand(n, visible).double().round())
    start = 1 if sum(layers[0::2]) < visible + sum(layers[1::2]) else 0
    means = p @ torch.cat(exact.states[start::2], 1)
    assert kept.shape == (n, len(means))
    assert ((kept == 0) | (kept == 1)).all()
    assert ((kept.mean(0) - means).abs() < 5 * kept.std(0) / n**0.5).all()


def test_collapsed_weights_and_one_chain_are_told(random_dbm):
    """A machine far from its base in one step; a single chain has no error, and no NaN in log Z."""
    model, split = random_dbm(0, 5, (4, 3), scale=6.0), points(10, 5)
    found = VariationalBound(chains=5, schedule=[[0, 1, 1]], base="data")(model, split, seed=0)
    assert "AIS weights have collapsed" in found.warnings[0]
    assert found.diagnostics["log_z_low"] == -math.inf
    assert found.diagnostics["log_z"] < found.diagnostics["log_z_high"] < math.inf
    found = VariationalBound(chains=1, schedule=[[0, 1, 20]])(model, split, seed=0)
    assert math.isnan(found.metrics["log_likelihood"].mc_se)
    assert math.isfinite(found.diagnostics["log_z"])
    assert not any(math.isnan(v) for v in found.diagnostics.values())


def test_grey_points_are_drawn_by_seed_where_asked_for(random_dbm):
    """As the bound has it for the binary points that the seed's stream gives; else as means."""
    model = random_dbm(0, 5, (4, 3))
    grey = TestSplit(torch.rand(30, 5, generator=torch.Generator().manual_seed(1)))
    drawn = torch.rand(30, 5, generator=generator(3, "evaluate", "pixels")) < grey.values
    options = {"chains": 5, "schedule": [[0, 1, 5]], "burn_in": 5}
    expected = VariationalBound(**options)(model, TestSplit(drawn.float()), seed=3)
    found = VariationalBound(**options, draw=True)(model, grey, seed=3)
    np.testing.assert_array_equal(found.per_point["log_px"], expected.per_point["log_px"])
    other = VariationalBound(**options, draw=True)(model, grey, seed=4)
    means = VariationalBound(**options)(model, grey, seed=3)
    for changed in (other, means):
        assert not np.allclose(changed.per_point["log_px"], expected.per_point["log_px"])


@pytest.mark.parametrize("wrong", [{"chains": 0}, {"iterations": 0}, {"burn_in": -1}])
def test_bad_input(wrong):
    with pytest.raises(ValueError, match="VariationalBound: expected"):
        VariationalBound(**wrong)


@pytest.mark.statistical
@shapes
def test_annealing_starts_at_the_machine_s_own_rates(visible, layers, random_dbm, enumerated):
    """Of the units kept and summed out, from 100 chains whatever the chains that anneal: 5 s.e."""
    model, n = random_dbm(0, visible, layers), 100
    exact = enumerated(model)
    p = exact.log_joint.exp().flatten().detach()
    _, base = VariationalBound(chains=1, burn_in=30).path(model)
    start = 1 if sum(layers[0::2]) < visible + sum(layers[1::2]) else 0
    for found, side in ((base.kept, start), (base.summed, 1 - start)):
        m = p @ torch.cat(exact.states[side::2], 1)
        smooth = (n * m + 0.5) / (n + 1)
        assert ((found.sigmoid() - smooth).abs() < 5 * (m * (1 - m) / n).sqrt()).all()


def test_annealing_starts_at_the_data_or_at_fair_coins(random_dbm):
    model = random_dbm(0)
    with torch.no_grad():
        model.data_means.uniform_(0.1, 0.9)
    rates = base_rates(model.data_means)
    for base, expected in (("data", rates), ("uniform", torch.zeros(5).double())):
        _, start = VariationalBound(base=base).path(model)
        found = torch.cat([start.kept, start.summed])
        assert sorted(found.tolist()) == sorted([*expected.tolist(), *[0.0] * 7])
