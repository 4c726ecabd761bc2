"""Completion of real-valued halves: Gibbs sampling against quadrature, and errors by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.halves import GibbsHalfCompletion, HalfCompletion
from hwbench.models.exemplars import NeighbourMeans
from hwbench.models.halves import MeanImage
from hwbench.models.realnet import RealFineTunedDBM
from hwbench.protocols import TestSplit, TrainSplit
from hwbench.rules.halves import KeepNeighbours

SIGMA = 5.0  # standard errors allowed
DIGITS = {"use": "halves.HalvedDigits"}


def gibbs(seen: list[bool], **arguments) -> GibbsHalfCompletion:
    """Return an evaluator of points of a few units."""
    out = GibbsHalfCompletion(DIGITS, size=[1, len(seen)], **arguments)
    out.seen = torch.tensor(seen)
    return out


@pytest.fixture
def machine() -> RealFineTunedDBM:
    """Two observed units below layers of two, two and one."""
    torch.manual_seed(5)
    model = RealFineTunedDBM(2, 2, [2, 2, 1]).double()
    with torch.no_grad():
        for p in (*model.gaussian.parameters(), *model.upper.weights, *model.upper.biases):
            p.normal_()
        model.upper.weights[0] += 3 * torch.eye(2)  # so that a sweep carries h_1 along
        model.upper.biases[0] -= 1.5
        model.upper.biases[1] -= 1.5
    return model


def stationary_mean(model: RealFineTunedDBM, x_seen: float, all_binary) -> float:
    """Return the mean of the unseen unit in equilibrium of the sweep that the evaluator states.

    A state is (h_1, h_3), eight of them. Given one, the unseen unit is normal, and the rest of the
    sweep is a sum over binary units; the normal is integrated by Gauss-Hermite quadrature.
    """
    weight, even_bias, odd_bias = (p.detach() for p in model.machine().couplings())
    even, odd = all_binary(3), all_binary(2)
    up = torch.distributions.Bernoulli(logits=odd_bias + even @ weight)
    down = torch.distributions.Bernoulli(logits=even_bias + odd @ weight.t())
    p_odd = torch.stack([up.log_prob(o).sum(1) for o in odd], 1).exp()  # [even, odd]
    p_even = torch.stack([down.log_prob(e).sum(1) for e in even], 1).exp()  # [odd, even]
    means = model.gaussian.visible_means(even[:, :2]).detach()[:, 1]
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(80))
    unseen = means[:, None] + nodes  # [even, nodes]
    x = torch.stack([torch.full_like(unseen, x_seen), unseen], -1)
    q = torch.distributions.Bernoulli(logits=model.gaussian.hidden_logits(x).detach())
    p_h1 = torch.stack([q.log_prob(h).sum(-1) for h in odd], -1).exp()  # pairs of h_1 as of odd
    p_h1 = (p_h1 * (weights / weights.sum())[:, None]).sum(1)  # [even, h_1]
    same = (even[:, None, :2] == odd).all(-1)[None] & (even[:, None, 2] == even[None, :, 2])[
        ..., None
    ]  # [from, middle state, h_1]: h_3 is that of the state before
    p_middle = torch.einsum("fmh,fh->fm", same.double(), p_h1)
    kernel = p_middle @ p_odd @ p_even
    torch.testing.assert_close(kernel.sum(1), torch.ones(8).double())
    values, vectors = torch.linalg.eig(kernel.t())
    limit = vectors[:, values.real.argmax()].real
    return float((limit / limit.sum()) @ means)


@pytest.mark.statistical
def test_chains_reach_the_equilibrium_of_their_kernel(machine, all_binary):
    """Whatever the seen unit is; and it matters."""
    expected = [stationary_mean(machine, x, all_binary) for x in (-2.0, 2.0)]
    assert abs(expected[0] - expected[1]) > 0.2
    torch.manual_seed(1)
    evaluator = gibbs([True, False], chains=4000, burn_in=40, sweeps=5)
    x = torch.tensor([[-2.0, 9.0], [2.0, 9.0]]).double()
    with torch.no_grad():
        chains = evaluator.fill(machine, x, evaluator.seen)
    assert chains.shape == (4000, 2, 2)
    assert torch.equal(chains[..., 0], x[:, 0].expand(4000, 2))
    se = chains[..., 1].std(0) / math.sqrt(4000)
    z = (chains[..., 1].mean(0) - torch.tensor(expected)).abs() / se
    assert z.max() < SIGMA, f"{z.max():.1f} standard errors off"


def test_without_weights_the_biases_complete(machine):
    with torch.no_grad():
        machine.gaussian.weight.zero_()
    points = TestSplit(torch.tensor([[0.5, 3.0], [1.0, -1.0]]))
    found = gibbs([True, False], chains=3, burn_in=0, sweeps=2)(machine.float(), points, seed=0)
    bias = float(machine.gaussian.visible_bias.detach()[1])
    errors = [(3 - bias) ** 2, (-1 - bias) ** 2]
    assert found.metrics["mse"].value == pytest.approx(np.mean(errors))
    assert found.metrics["mse"].kind == "estimate"
    assert found.metrics["mse"].mc_se == pytest.approx(0, abs=1e-6)
    assert found.diagnostics["excess_mse"] == pytest.approx(0, abs=1e-6)
    assert found.per_point["squared_error"].tolist() == pytest.approx(errors)


def test_what_is_not_seen_plays_no_part(machine):
    points = [TestSplit(torch.tensor([[0.5, a], [-1.0, a]]).double()) for a in (0.0, 7.0)]
    evaluator = gibbs([True, False], chains=2, burn_in=3, sweeps=3)
    filled = []
    for split in points:
        torch.manual_seed(0)
        with torch.no_grad():
            filled.append(evaluator.fill(machine, split.values, evaluator.seen))
    assert torch.equal(*filled)


def test_the_excess_is_the_variance_of_the_mean_of_chains(machine):
    """A jackknife of a quadratic: Var over chains / C, exactly; and none with one chain."""
    points = TestSplit(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    evaluator = gibbs([True, False], chains=4, burn_in=2, sweeps=2)
    kept = []
    fill = evaluator.fill
    evaluator.fill = lambda *given: kept.append(fill(*given)) or kept[-1]
    found = evaluator(machine.float(), points, seed=3)
    variance = kept[0][..., 1].double().var(0).mean().item()
    assert found.diagnostics["excess_mse"] == pytest.approx(variance / 4, rel=1e-5)
    single = gibbs([True, False], chains=1, burn_in=2, sweeps=2)(machine, points, seed=3)
    assert math.isnan(single.metrics["mse"].mc_se)
    assert "excess_mse" not in single.diagnostics


@pytest.mark.statistical
def test_the_monte_carlo_error_is_that_of_other_chains(machine):
    """Over seeds, with the points fixed, the error scatters as a single one says."""
    points = TestSplit(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)))
    evaluator, machine = gibbs([True, False], chains=10, burn_in=5, sweeps=5), machine.float()
    found = [evaluator(machine, points, seed=seed).metrics["mse"] for seed in range(60)]
    spread = np.std([m.value for m in found], ddof=1)
    claimed = math.sqrt(np.mean([m.mc_se**2 for m in found]))
    assert 0.7 < claimed / spread < 1.4  # a deviation over 60 runs is known to a tenth


def neighbours(values: torch.Tensor, k: int) -> NeighbourMeans:
    fit = KeepNeighbours(DIGITS, k=k)
    fit.seen = torch.tensor([False, True])
    model = NeighbourMeans(2)
    fit(model, TrainSplit(values), None, 0, lambda fraction, note: None)
    return model


def test_neighbours_and_the_mean_by_hand():
    """The second unit is seen: 0.1 lies nearest to 0 and then to 1; the mean of all is 5."""
    train = torch.tensor([[4.0, 0.0], [6.0, 1.0], [5.0, 3.0]])
    points = TestSplit(torch.tensor([[3.0, 0.1]]))
    for model, completion in ((neighbours(train, 1), 4.0), (neighbours(train, 2), 5.0)):
        evaluator = HalfCompletion(DIGITS, size=[1, 2])
        evaluator.seen = torch.tensor([False, True])
        found = evaluator(model, points, seed=0)
        assert found.metrics["mse"].value == pytest.approx((3 - completion) ** 2)
        assert found.metrics["mse"].kind == "exact"
    mean = MeanImage(2)
    mean.keep(TrainSplit(train), evaluator.seen, 1)
    assert evaluator(mean, points, seed=0).metrics["mse"].value == pytest.approx((3 - 5) ** 2)


def test_images_are_scaled_to_those_of_the_data():
    """From −2 to 2; what a completion exceeds is cut; unseen pixels are −1."""
    mean = MeanImage(4)
    mean.average = torch.tensor([9.0, 9.0, 0.0, 4.0])
    evaluator = HalfCompletion(DIGITS, size=[1, 4])
    evaluator.seen = torch.tensor([True, True, False, False])
    points = TestSplit(torch.tensor([[-2.0, 2.0, 1.0, 0.0]]))
    found = evaluator(mean, points, seed=0).per_point
    assert found["original"].tolist() == [[0, 255, 191, 128]]
    assert found["seen"].tolist() == [[0, 255, -1, -1]]
    assert found["completion"].tolist() == [[0, 255, 128, 255]]


@pytest.mark.parametrize("cls", [HalfCompletion, GibbsHalfCompletion, KeepNeighbours])
def test_other_data_are_refused(cls):
    with pytest.raises(ValueError, match="Digits does not know which units are in a half"):
        cls({"use": "digits.Digits"})


def test_points_of_other_units_are_refused():
    points = torch.zeros(3, 5)
    with pytest.raises(ValueError, match=r"points of 5 units for this MeanImage, .* of 64 units"):
        HalfCompletion(DIGITS)(MeanImage(5), TestSplit(points), seed=0)
    with pytest.raises(ValueError, match=r"points of 5 units, and a half of points of 64 units"):
        KeepNeighbours(DIGITS)(MeanImage(5), TrainSplit(points), None, 0, lambda f, n: None)
