import itertools

import numpy as np
import pytest
import torch

from hwbench.models.mixture import BernoulliMixture
from hwbench.numerics import generator
from hwbench.protocols import TrainSplit, ValidationSplit
from hwbench.rules.em import EM


def digits_like(n, d=20, seed=0):
    """Points from a random mixture of 6 Bernoullis, as bytes."""
    g = torch.Generator().manual_seed(seed)
    mu = torch.rand(6, d, generator=g).pow(2)
    c = torch.randint(6, (n,), generator=g)
    return (torch.rand(n, d, generator=g) < mu[c]).byte()


def silent(fraction, message):
    pass


def run(em, model, train, validation=None, seed=0):
    """Return the values of each curve."""
    curves = em(model, train, validation, seed, silent)
    for points in curves.values():
        assert [x for x, _ in points] == list(range(len(points)))
    return {name: [y for _, y in points] for name, points in curves.items()}


@pytest.mark.parametrize("clip", [1e-6, 1e-2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_objective_never_falls(smoothing, clip, seed):
    train = TrainSplit(digits_like(300))
    model = BernoulliMixture(20, components=12).double()
    em = EM(iterations=60, smoothing=smoothing, clip=clip, tolerance=0.0, chunk=77)
    objective = run(em, model, train, seed=seed)["train/objective"]
    assert np.diff(objective).min() > -1e-12  # float64: rounding only
    assert objective[-1] > objective[0] + 0.1
    assert model.logits.sigmoid().min() >= clip * (1 - 1e-9)


def test_the_curve_is_the_likelihood_and_plain_em_raises_it():
    train = TrainSplit(digits_like(200))
    model = BernoulliMixture(20, components=4)
    em = EM(iterations=5, smoothing=0.0, tolerance=0.0)
    curve = run(em, model, train)["train/log_likelihood"]
    after = model.log_prob(train.values.float()).mean().item()
    assert curve[-1] < after < curve[-1] + 5
    again = BernoulliMixture(20, components=4)
    EM(iterations=4, smoothing=0.0, tolerance=0.0)(again, train, None, 0, silent)
    assert again.log_prob(train.values.float()).mean().item() == pytest.approx(curve[-1], abs=1e-4)


def test_one_step_is_the_exact_maximiser():
    """The gradient of the penalised expected log-likelihood vanishes at the M step."""
    train = TrainSplit(digits_like(50, d=5))
    model = BernoulliMixture(5, components=3).double()
    em = EM(iterations=1, smoothing=0.7, clip=1e-9)
    em(model, train, None, 3, silent)
    old = BernoulliMixture(5, components=3).double()
    with torch.no_grad():
        em._start(old, train, train.means(), generator(3, "init"))
        x = train.values.double()
        r = old.log_joint(x).softmax(1)
    m = train.means().double()
    log_mu, log_rest = model.logits.sigmoid().log(), (-model.logits).sigmoid().log()
    prior = model.weights.log_softmax(0).sum() + (m * log_mu + (1 - m) * log_rest).sum()
    objective = (r * model.log_joint(x)).sum() + 0.7 * prior
    for gradient in torch.autograd.grad(objective, list(model.parameters())):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-5, rtol=0)


def test_it_recovers_a_mixture_it_can_represent():
    """KL(true, fitted) is of the order of parameters / N."""
    true = BernoulliMixture(8, components=2)
    with torch.no_grad():
        true.logits.copy_(torch.tensor([[2.0] * 4 + [-2.0] * 4, [-2.0] * 4 + [2.0] * 4]))
        true.weights.copy_(torch.tensor([0.7, 0.3]).log())
    torch.manual_seed(0)
    x = true.sample(20_000).bernoulli()
    model = BernoulliMixture(8, components=2)
    EM(iterations=100, smoothing=0.0, tolerance=1e-7)(model, TrainSplit(x), None, 0, silent)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8)))
    log_p, log_q = true.log_prob(every), model.log_prob(every)
    kl = (log_p.exp() * (log_p - log_q)).sum().item()
    assert (
        0 <= kl < 10 * 17 / (2 * 20_000)
    )  # E KL = parameters / 2N; ten times that is beyond chance


def test_early_stopping_keeps_the_best_validation_parameters():
    train, validation = TrainSplit(digits_like(40)), ValidationSplit(digits_like(500, seed=0))
    model = BernoulliMixture(20, components=30)
    em = EM(iterations=100, smoothing=0.01, tolerance=0.0, patience=3)
    curves = run(em, model, train, validation)
    best = max(curves["validation/log_likelihood"])
    assert model.log_prob(validation.values.float()).mean().item() == pytest.approx(best, abs=1e-4)
    assert len(curves["train/objective"]) < 100


def test_a_resampled_split_is_drawn_once_and_the_seed_decides():
    grey = TrainSplit(
        torch.randint(0, 256, (100, 10), dtype=torch.uint8), scale=255.0, resample=True
    )
    runs = []
    for seed in (0, 0, 1):
        model = BernoulliMixture(10, components=3)
        curves = run(EM(iterations=20, tolerance=0.0), model, grey, seed=seed)
        assert np.diff(curves["train/objective"]).min() > -1e-5
        runs.append(model.logits.detach().clone())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_more_components_than_points_stays_finite():
    model = BernoulliMixture(6, components=50)
    EM(iterations=50, smoothing=0.0, tolerance=0.0)(
        model, TrainSplit(digits_like(5, d=6)), None, 0, silent
    )
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "bad", [{"iterations": 0}, {"smoothing": -1.0}, {"clip": 0.5}, {"clip": 0.0}, {"chunk": 0}]
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match="EM: needs"):
        EM(**bad)
