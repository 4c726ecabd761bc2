"""Completions against enumeration of what the units not seen can be, and errors by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from hwbench import build
from hwbench.evaluators.completion import (
    BoltzmannCompletion,
    Clamped,
    Completion,
    MixtureCompletion,
)
from hwbench.evaluators.points import evaluating
from hwbench.models.exemplars import NeighbourMeans
from hwbench.models.mixture import BernoulliMixture
from hwbench.models.rbm import RBM
from hwbench.numerics import stream
from hwbench.protocols import Completer, TestSplit, TrainSplit, half_of

SIGMA = 5.0  # standard errors allowed
SEEN = torch.tensor([True, True, False, False, True, False])


def random_rbm(seed: int, visible: int = 6, hidden: int = 4) -> RBM:
    torch.manual_seed(seed)
    rbm = RBM(visible, hidden=hidden).double()
    with torch.no_grad():
        for p in rbm.parameters():
            p.normal_(0, 1.0)
    return rbm


@pytest.fixture
def machine(request, random_dbm):
    """An RBM, or a DBM of two or three hidden layers, with six observed units."""
    if request.param == "RBM":
        return random_rbm(3)
    layers = {"two": (4, 3), "three": (3, 2, 3)}[request.param]
    return random_dbm(3, visible=6, layers=layers, scale=1.0)


machines = pytest.mark.parametrize("machine", ["RBM", "two", "three"], indirect=True)


def exact(machine, x, seen, all_binary):
    """Return E[x_i | x_S] of units not seen [B, U], and log Σ exp(−E) over what is not seen [B]."""
    weight, b, c = (p.detach() for p in machine.couplings())
    v = all_binary(len(b))
    log_p = v @ b + torch.nn.functional.softplus(c + v @ weight).sum(1)
    means, log_sums = [], []
    for point in x:
        fits = (v[:, : len(seen)][:, seen] == point[seen]).all(1)
        own = log_p[fits]
        means.append(own.softmax(0) @ v[fits][:, : len(seen)][:, ~seen])
        log_sums.append(own.logsumexp(0))
    return torch.stack(means), torch.stack(log_sums)


def bound(clamped, f, h):
    """Return E_q[−E(f, h | x_S)] + H(q)."""
    entropy = sum((torch.special.entr(m) + torch.special.entr(1 - m)).sum(1) for m in (f, h))
    interaction = ((f @ clamped.weight) * h).sum(1)
    return interaction + f @ clamped.free_bias + (clamped.hidden_bias * h).sum(1) + entropy


@pytest.mark.statistical
@machines
def test_gibbs_means_are_the_conditional_means(machine, all_binary):
    x = all_binary(6)[5::7]
    expected, _ = exact(machine, x, SEEN, all_binary)
    torch.manual_seed(0)
    with torch.no_grad():
        means, states = Clamped(machine, x, SEEN).gibbs(chains=2000, burn_in=60, sweeps=5)
    assert means.shape == (2000, len(x), 3)
    for found in (means, states[..., :3]):
        se = found.std(0) / math.sqrt(len(found))
        z = (found.mean(0) - expected).abs() / se
        assert z.max() < SIGMA, f"{z.max():.1f} standard errors off"
    assert means.var(0).mean() < states[..., :3].var(0).mean() / 2
    assert ((states == 0) | (states == 1)).all()


@machines
def test_the_clamped_machine_is_the_whole_one_with_units_fixed(machine, all_binary):
    """Summed over f and h, its exp(−E) is that of the machine but for what the seen units add."""
    x = all_binary(6)[::9]
    _, log_sums = exact(machine, x, SEEN, all_binary)
    with torch.no_grad():
        clamped = Clamped(machine, x, SEEN)
        f = all_binary(len(clamped.free_bias))
        inputs = clamped.hidden_bias[:, None] + f @ clamped.weight  # [B, 2^F, H]
        found = (f @ clamped.free_bias + inputs.exp().log1p().sum(2)).logsumexp(1)
        _, b, _ = machine.couplings()
        torch.testing.assert_close(found + x[:, SEEN] @ b[:6][SEEN], log_sums)


@machines
def test_mean_field_ends_at_a_fixed_point_and_never_falls(machine, all_binary):
    x = all_binary(6)[::5]
    _, log_sums = exact(machine, x, SEEN, all_binary)
    with torch.no_grad():
        clamped = Clamped(machine, x, SEEN)
        _, b, _ = machine.couplings()
        own = x[:, SEEN] @ b[:6][SEEN]
        values = [bound(clamped, *clamped.mean_field(n)) + own for n in (1, 2, 3, 5, 10, 3000)]
        for before, after in pairwise(values):
            assert (after >= before - 1e-12).all()
        assert (values[-1] <= log_sums + 1e-12).all()
        f, h = clamped.mean_field(3000)
        torch.testing.assert_close(clamped.hidden_means(f), h, atol=1e-9, rtol=0)
        torch.testing.assert_close(clamped.free_means(h), f, atol=1e-9, rtol=0)
        early, _ = clamped.mean_field(3000, tolerance=1e-3)
        assert 0 < (early - f).abs().max() < 0.1


@machines
def test_mean_field_is_exact_where_units_are_independent(machine, all_binary):
    """Without weights between units that are not seen and hidden ones, q is the posterior."""
    with torch.no_grad():
        first = machine.weight if isinstance(machine, RBM) else machine.weights[0]
        first[~SEEN] = 0
        others = [] if isinstance(machine, RBM) else list(machine.weights)[1:]
        for weight in others:
            weight.zero_()
        x = all_binary(6)[::5]
        expected, _ = exact(machine, x, SEEN, all_binary)
        f, _ = Clamped(machine, x, SEEN).mean_field(2)
    torch.testing.assert_close(f[:, :3], expected)


def test_a_mixture_has_its_conditional_means(all_binary):
    torch.manual_seed(0)
    model = BernoulliMixture(6, components=3).double()
    with torch.no_grad():
        model.weights.normal_()
        model.logits.normal_(0, 2)
        v = all_binary(6)
        log_p = model.log_prob(v)
        x = v[::7]
        found = MixtureCompletion().fill(model, x, SEEN).ways["completion"]
        for point, means in zip(x, found, strict=True):
            fits = (v[:, SEEN] == point[SEEN]).all(1)
            torch.testing.assert_close(means, log_p[fits].softmax(0) @ v[fits][:, ~SEEN])


# --- errors and images ----------------------------------------------------------------------------


class Constant(Completer):
    """Fills in the same numbers whatever it sees."""

    def __init__(self, means: list[float]) -> None:
        super().__init__()
        self.means, self.visible = torch.tensor(means), len(means)

    @classmethod
    def tiny(cls) -> Constant:
        return cls([0.5] * 4)

    def complete(self, x, seen):
        return torch.where(seen, x, self.means)


def test_errors_by_hand():
    """Of 2 x 2, with the right half at 0.25 and, of a certain pixel, at 0, which costs log 510."""
    points = TestSplit(torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]], dtype=torch.uint8))
    found = Completion(seen="left")(Constant([9.0, 0.25, 9.0, 0.0]), points, seed=0)
    errors = [(0.75**2 + 0) / 2, (0.75**2 + 1) / 2]
    nats = [(-math.log(0.25) - math.log(1 - 1 / 510)) / 2, (-math.log(0.25) + math.log(510)) / 2]
    assert found.metrics["mse"].value == pytest.approx(np.mean(errors))
    assert found.metrics["mse"].kind == "exact"
    assert found.metrics["mse"].se == pytest.approx(np.std(errors, ddof=1) / math.sqrt(2))
    assert found.metrics["cross_entropy"].value == pytest.approx(np.mean(nats), rel=1e-5)
    assert found.metrics["cross_entropy"].kind == "score"
    assert found.per_point["squared_error"].tolist() == pytest.approx(errors)
    assert found.per_point["original"].tolist() == [[255, 255, 0, 0], [0, 255, 255, 255]]
    assert found.per_point["seen"].tolist() == [[255, -1, 0, -1], [0, -1, 255, -1]]
    assert found.per_point["completion"].tolist() == [[255, 64, 0, 0], [0, 64, 255, 0]]


def test_one_component_is_the_mean_image():
    """Σ (x − m)² / U, whatever is seen."""
    torch.manual_seed(1)
    model = BernoulliMixture(6, components=1)
    with torch.no_grad():
        model.logits.normal_()
    values = (torch.rand(50, 6) < 0.5).to(torch.uint8)
    found = MixtureCompletion(seen="bottom", size=[2, 3])(model, TestSplit(values), seed=0)
    error = (values[:, :3] - model.logits.sigmoid()[0, :3]).square().mean().item()
    assert found.metrics["mse"].value == pytest.approx(error, rel=1e-6)


@pytest.mark.statistical
def test_means_have_the_least_error_and_draws_twice_that(all_binary):
    """At points from the model itself: E(x − m)² = v, the conditional variance; of a draw 2 v."""
    rbm = random_rbm(5).float()
    x = all_binary(6)
    with torch.no_grad():
        p = (-rbm.double().free_energy(x)).softmax(0)
    seen = half_of("top", 6, (2, 3))
    means, _ = exact(rbm, x, seen, all_binary)
    least = float(p @ (x[:, ~seen] - means).square().mean(1))
    torch.manual_seed(0)
    points = TestSplit(x[p.multinomial(4000, replacement=True)].to(torch.uint8))
    evaluator = BoltzmannCompletion("top", [2, 3], chains=4, burn_in=50, sweeps=50)
    found = evaluator(rbm.float(), points, seed=0)
    mse, draw = found.metrics["mse"], found.metrics["mse_draw"]
    assert abs(mse.value - found.diagnostics["excess_mse"] - least) < SIGMA * mse.se
    assert abs(draw.value - 2 * least) < SIGMA * draw.se
    assert found.metrics["mse_mean_field"].value > least


@machines
def test_what_is_not_seen_plays_no_part(machine):
    """Images that differ in the unseen half only are completed alike; the seen half stays."""
    machine = machine.float()
    torch.manual_seed(0)
    values = (torch.rand(40, 6) < 0.5).to(torch.uint8)
    seen = half_of("left", 6, (2, 3))
    other = torch.where(seen, values, 1 - values)
    evaluator = BoltzmannCompletion("left", [2, 3], pictures=40, chains=2, burn_in=3, sweeps=3)
    one, two = (evaluator(machine, TestSplit(v), seed=0).per_point for v in (values, other))
    for name in ("completion", "mean_field", "draw"):
        assert np.array_equal(one[name], two[name]), name
        assert np.array_equal(one[name][:, seen], 255 * values[:, seen].numpy()), name
    assert len(np.unique(one["completion"])) > 5


def test_the_excess_is_the_variance_of_the_mean_of_chains():
    """A jackknife of a quadratic: Var over chains / C, exactly; and none with one chain."""
    rbm = random_rbm(7, visible=4).float()
    points = TestSplit((torch.rand(30, 4, generator=torch.Generator().manual_seed(0)) < 0.5).byte())
    seen = half_of("left", 4)
    evaluator = BoltzmannCompletion("left", chains=4, burn_in=2, sweeps=2)
    found = evaluator(rbm, points, seed=3)
    with evaluating(stream(3, "evaluate", "completion"), torch.device("cpu")):
        chains, _ = Clamped(rbm, points.values.float(), seen).gibbs(4, 2, 2)
    variance = chains.double().var(0).mean().item()
    assert found.diagnostics["excess_mse"] == pytest.approx(variance / 4, rel=1e-4)
    single = BoltzmannCompletion("left", chains=1, burn_in=2, sweeps=2)(rbm, points, seed=3)
    assert math.isnan(single.metrics["mse"].mc_se)
    assert "excess_mse" not in single.diagnostics


@pytest.mark.statistical
def test_the_monte_carlo_error_is_that_of_other_chains():
    """Over seeds, with the points fixed, the error scatters as a single one says."""
    rbm = random_rbm(9, visible=4).float()
    points = TestSplit((torch.rand(60, 4, generator=torch.Generator().manual_seed(0)) < 0.5).byte())
    evaluator = BoltzmannCompletion("left", chains=10, burn_in=5, sweeps=5)
    found = [evaluator(rbm, points, seed=seed).metrics["mse"] for seed in range(60)]
    spread = np.std([m.value for m in found], ddof=1)
    claimed = math.sqrt(np.mean([m.mc_se**2 for m in found]))
    assert 0.7 < claimed / spread < 1.4  # a deviation over 60 runs is known to a tenth


def test_images_are_spread_over_the_points():
    values = torch.arange(30, dtype=torch.uint8)[:, None].expand(30, 4)
    points = TestSplit(values, scale=255.0)
    evaluator = Completion(pictures=4)
    evaluator.chunk = 7
    found = evaluator(Constant([0.5] * 4), points, seed=0)
    assert found.per_point["original"][:, 0].tolist() == [0, 10, 19, 29]
    assert found.per_point["original"].dtype == np.uint8
    assert found.diagnostics == {"image_height": 2.0, "image_width": 2.0}
    assert len(found.per_point["squared_error"]) == 30


def test_a_machine_in_pieces_is_the_same_machine():
    """Means do not depend on how many points are treated at once, but for the draws."""
    rbm = random_rbm(11, visible=4).float()
    points = TestSplit((torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) < 0.5).byte())
    values = []
    for chunk in (50, 7):
        evaluator = BoltzmannCompletion("left", chains=2, burn_in=1, sweeps=1)
        evaluator.chunk = chunk
        values.append(evaluator(rbm, points, seed=0).metrics["mse_mean_field"].value)
    assert values[0] == pytest.approx(values[1], rel=1e-4)


# --- halves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        ("left", [[1, 1, 0], [1, 1, 0]]),
        ("right", [[0, 1, 1], [0, 1, 1]]),
        ("top", [[1, 1, 1], [0, 0, 0]]),
        ("bottom", [[0, 0, 0], [1, 1, 1]]),
    ],
)
def test_halves(half, expected):
    assert half_of(half, 6, [2, 3]).view(2, 3).int().tolist() == expected


@pytest.mark.parametrize(
    ("visible", "size", "message"),
    [
        (6, None, "images of 6 units are not a square; give their size"),
        (6, (2, 2), "images of 6 units are not of 2 x 2; give their size"),
        (6, (6, 1), "an image of 6 x 1 has no left half"),
    ],
)
def test_what_has_no_half_is_refused(visible, size, message):
    with pytest.raises(ValueError, match=message):
        half_of("left", visible, size)


def test_k_chosen_for_another_half_is_refused():
    train = TrainSplit(torch.eye(4).byte())
    model = NeighbourMeans(visible=4)
    model.keep(train, half_of("left", 4), 1)
    with pytest.raises(ValueError, match="k was chosen for other units seen"):
        Completion(seen="top")(model, TestSplit(train.values), seed=0)


def test_the_size_of_other_images_is_an_argument():
    """Not filled in by what the data decide, which evaluators are not told."""
    block = {"use": "completion.Completion", "seen": "top", "size": [16, 8]}
    assert build.make("evaluate", block, shape=(4, 4)).size == [16, 8]
    fit = {"use": "exemplars.ChooseNeighbours", "seen": "top", "k": [1], "size": [16, 8]}
    assert build.make("fit", fit).size == [16, 8]
    with pytest.raises(build.BuildError, match="at least 2 items"):
        build.make("evaluate", {**block, "size": [16]})
