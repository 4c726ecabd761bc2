"""The bound of deep belief networks against enumeration."""

import itertools

import numpy as np
import pytest
import torch

from hwbench.evaluators.ais import AIS
from hwbench.evaluators.belief import SampledBound
from hwbench.models.dbn import DBN, UntiedDBN
from hwbench.protocols import TestSplit

SHAPES = [(5, [4, 3]), (4, [3, 4, 2])]
shapes = pytest.mark.parametrize(("visible", "layers"), SHAPES)
kinds = pytest.mark.parametrize("kind", [DBN, UntiedDBN])


def exact_bound(model, x, log_z, all_binary):
    """E_q[log p(x, h) − log q(h | x)], every h enumerated."""
    states = itertools.product(*(all_binary(n) for n in model.layers[:-1]))
    h = [torch.stack(layer)[:, None].expand(-1, len(x), -1) for layer in zip(*states, strict=True)]
    log_q = model.log_q(h, x)
    torch.testing.assert_close(log_q.logsumexp(0), torch.zeros(len(x)).double())
    return (log_q.exp() * (model.log_joint(x, h) - log_z - log_q)).sum(0).detach()


def points(n, d):
    return TestSplit(torch.rand(n, d, generator=torch.Generator().manual_seed(0)).round())


@pytest.mark.statistical
@pytest.mark.parametrize("base", ["model", "data"])
@kinds
@shapes
def test_it_is_the_exact_bound_below_log_p(
    kind, visible, layers, base, random_dbn, exact_dbn, all_binary
):
    """Log Z within 5σ from either side; the bound, by its K samples, within 5 s.e.; below log p."""
    for seed in range(2):
        model = random_dbn(kind, visible, layers, seed)
        with torch.no_grad():
            model.data_means.uniform_(0.1, 0.9)
        log_px, log_z = exact_dbn(model)
        split = points(40, visible)
        x = split.values.double()
        code = (x @ 2.0 ** torch.arange(visible - 1, -1, -1).double()).long()
        bound = exact_bound(model, x, log_z, all_binary)
        assert (bound < log_px[code]).all()
        k = 200
        evaluator = SampledBound(
            schedule=[[0, 1, 200]], samples=k, reverse=True, burn_in=20, base=base
        )
        found = evaluator(model, split, seed=seed)
        d = found.diagnostics
        for way in ("log_z", "log_z_reverse"):
            width = d[f"{way}_high"] - d[f"{way}_low"]  # of 3σ to either side
            assert width < 0.3
            assert abs(d[way] - log_z) < 5 / 6 * width
        h, log_q = model.infer(x, 2000)
        se = (model.log_joint(x, h) - log_q).std(0).detach() / k**0.5
        off = found.per_point["log_px"] + d["log_z"] - (bound + log_z).numpy()
        assert (np.abs(off) < 5 * se.numpy() + 1e-5).all()
        metric = found.metrics["log_likelihood"]
        assert (metric.n, metric.k, metric.kind) == (40, 100, "lower bound")


def test_one_layer_is_measured_as_an_rbm(random_dbn, exact_dbn):
    """Nothing is sampled: log p(x) itself, with the log Z that AIS gives for its RBM."""
    model = random_dbn(DBN, 5, [3])
    split = points(20, 5)
    options = {"chains": 50, "schedule": [[0, 1, 100]]}
    found = SampledBound(**options, base="data")(model, split, seed=0)
    rbm = AIS(**options)(model.pair(1), split, seed=0)
    assert found.diagnostics == rbm.diagnostics
    np.testing.assert_array_equal(found.per_point["log_px"], rbm.per_point["log_px"])
    log_px, log_z = exact_dbn(model)
    code = (split.values.double() @ 2.0 ** torch.arange(4, -1, -1).double()).long()
    expected = (log_px[code] + log_z).detach().numpy() - found.diagnostics["log_z"]
    np.testing.assert_allclose(found.per_point["log_px"], expected, atol=1e-5)


@pytest.mark.statistical
@kinds
@pytest.mark.parametrize("layers", [[3], [4, 3]])
def test_annealing_starts_at_the_rates_of_the_top_rbm(kind, layers, random_dbn, all_binary):
    """Within 5 s.e. of 100 chains; at `data` the upper units are fair coins."""
    model, n = random_dbn(kind, 5, layers), 100
    weight, b, c = (p.detach() for p in model.pair(len(layers)).couplings())
    below, above = all_binary(len(b)).to(b), all_binary(len(c)).to(c)
    energies = (below @ b)[:, None] + above @ c + below @ weight @ above.t()
    p = energies.flatten().softmax(0).view_as(energies)
    _, base = SampledBound(chains=1, burn_in=30).path(model)
    for found, m in ((base.kept, p.sum(1) @ below), (base.summed, p.sum(0) @ above)):
        smooth = (n * m + 0.5) / (n + 1)
        assert ((found.sigmoid() - smooth).abs() < 5 * (m * (1 - m) / n).sqrt()).all()
    assert not SampledBound(base="data").path(model)[1].summed.any()


def test_bad_input():
    with pytest.raises(ValueError, match="samples ≥ 1"):
        SampledBound(samples=0)
