"""Parallel tempering against enumeration."""

import copy
import itertools
import math

import pytest
import torch

from hwbench.models.dbm import DBM
from hwbench.protocols import Couplings, TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD
from hwbench.rules.tempering import TemperedMeanFieldPCD, exchange, swap_probability, temper


@pytest.fixture(scope="module")
def barrier():
    """Units 3-3-2 with weights ±6: two mirror images, one of them twice as probable, and a barrier.

    Biases are minus half of the sum of a unit's weights, so that energies are those of spins.
    """
    model = DBM(3, layers=[3, 2])
    signs = [torch.tensor([1.0, -1, 1]), torch.tensor([1.0, 1, -1]), torch.tensor([-1.0, 1])]
    with torch.no_grad():
        for weight, below, above in zip(model.weights, signs[:-1], signs[1:], strict=True):
            weight.copy_(6 * torch.outer(below, above))
        model.biases[0].copy_(-0.5 * model.weights[0].sum(1))
        model.biases[1].copy_(-0.5 * (model.weights[0].sum(0) + model.weights[1].sum(1)))
        model.biases[2].copy_(-0.5 * model.weights[1].sum(0))
        model.biases[0][0] += math.log(2)
    return model


@pytest.fixture(scope="module")
def even_law(barrier, enumerated):
    """The probability of each of the 2^5 states of the even layers, in counting order."""
    every = enumerated(copy.deepcopy(barrier).double())
    states = torch.cat([h.float() for h in every.states[::2]], 1)
    return law_of(states, every.log_joint.exp().flatten().float().detach())


def law_of(states, weights=None):
    code = (states @ 2.0 ** torch.arange(states.shape[1] - 1, -1, -1)).long()
    total = torch.bincount(code, weights, minlength=2 ** states.shape[1])
    return total / total.sum()


@pytest.mark.statistical
def test_tempered_chains_cross_a_barrier_that_gibbs_does_not(barrier, even_law):
    """From the rarer mode, 400 particles reach p within 5 s.e., and 2000 Gibbs sweeps do not."""
    torch.manual_seed(0)
    rare = torch.tensor([0.0, 1, 0, 1, 0])  # the mirror image of (1, 0, 1; 0, 1)
    assert even_law[int(law_of(rare[None]).argmax())] == pytest.approx(1 / 3, abs=0.01)
    beta = torch.linspace(1, 0.0, 12)
    tempered = temper(barrier.couplings(), rare.repeat(12, 400, 1), beta, 150)[0]
    se = (even_law * (1 - even_law) / 400).sqrt()
    # A state that is expected less than once is judged by a bound on its count.
    off = (law_of(tempered) - even_law).abs()
    assert (off < 5 * se + 3 / 400 * (even_law < 1 / 400)).all()
    gibbs = law_of(barrier.gibbs(rare.repeat(400, 1), 2000))
    mode = int(even_law.argmax())
    assert abs(float(gibbs[mode] - even_law[mode])) > 5 * float(se[mode])


def kernel_of_a_sweep(couplings, beta):
    """K[(v, h) → (v', h')] = p_β(h' | v) p_β(v' | h') of a machine of one unit on each side."""
    w, b, c = (part.item() for part in couplings)

    def bern(on, a):
        p = 1 / (1 + math.exp(-beta * a))
        return p if on else 1 - p

    states = list(itertools.product((0, 1), repeat=2))
    return torch.tensor(
        [[bern(h2, c + v * w) * bern(v2, b + h2 * w) for v2, h2 in states] for v, _ in states],
        dtype=torch.float64,
    )


def test_the_kernel_of_two_temperatures_keeps_the_product_law():
    """By enumeration of its 16 states; and the exchange alone is in detailed balance."""
    couplings = Couplings(torch.tensor([[2.0]]), torch.tensor([-0.5]), torch.tensor([-1.2]))
    energy = torch.tensor([0.0, 1.2, 0.5, 0.5 + 1.2 - 2.0], dtype=torch.float64)
    beta = torch.tensor([1.0, 0.4], dtype=torch.float64)
    law = torch.outer(*((-b * energy).softmax(0) for b in beta))
    swap = swap_probability(beta[0], beta[1], energy[:, None], energy)  # from (a, b) to (b, a)
    torch.testing.assert_close(law * swap, (law * swap).T)  # π(a, b) A(a, b) = π(b, a) A(b, a)
    cold, hot = (kernel_of_a_sweep(couplings, float(b)) for b in beta)
    swept = cold.T @ law @ hot
    torch.testing.assert_close(swept, law)
    torch.testing.assert_close(swept * (1 - swap) + (swept * swap).T, law)


@pytest.mark.statistical
def test_a_sweep_is_that_kernel():
    """From one state of both temperatures, the frequencies of 16 joint states within 5 s.e."""
    couplings = Couplings(torch.tensor([[2.0]]), torch.tensor([-0.5]), torch.tensor([-1.2]))
    energy = torch.tensor([0.0, 1.2, 0.5, 0.5 + 1.2 - 2.0], dtype=torch.float64)
    beta = torch.tensor([1.0, 0.4])
    cold, hot = (kernel_of_a_sweep(couplings, float(b))[3] for b in beta)  # from v = 1
    swap = swap_probability(beta[0].double(), beta[1].double(), energy[:, None], energy)
    swept = torch.outer(cold, hot)
    joint = (swept * (1 - swap) + (swept * swap).T).view(2, 2, 2, 2).sum((1, 3))  # over h
    n = 40000
    torch.manual_seed(0)
    even = temper(couplings, torch.ones(2, n, 1), beta, 1)[..., 0].long()
    found = torch.bincount(2 * even[0] + even[1], minlength=4) / n
    expected = joint.flatten()
    se = (expected * (1 - expected) / n).sqrt()
    assert ((found - expected).abs() < 5 * se).all()


def test_certain_exchanges_sort_by_energy():
    """A difference in favour is always exchanged: low energies move to high β, pair by pair."""
    energy = torch.tensor([[3e4], [2e4], [1e4], [0.0]])
    order = exchange(energy, torch.tensor([1.0, 0.8, 0.6, 0.4]))
    assert order[:, 0].tolist() == [1, 3, 0, 2]  # (0, 1), (2, 3), then the two in the middle
    assert exchange(energy.flip(0), torch.tensor([1.0, 0.8, 0.6, 0.4]))[:, 0].tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_gibbs_is_the_base_class(random_dbm):
    """To the bit: the same chains and gradients."""
    model = random_dbm(0).float()
    x = torch.rand(20, 5).round()
    found = []
    for rule in (
        MeanFieldPCD(chains=10, sweeps=2),
        TemperedMeanFieldPCD(operator="gibbs", chains=10, sweeps=2),
    ):
        torch.manual_seed(0)
        model.zero_grad()
        rule.begin(model, TrainSplit(x))
        rule.backward(model, x)
        found.append([rule.chains, *(p.grad.clone() for p in model.weights)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.statistical
def test_only_chains_at_one_estimate_the_model(random_dbm, enumerated):
    """After many sweeps the mean state of the particles is that of p, within 5 s.e."""
    model = random_dbm(2, 5, (4, 3), scale=1.0)
    every = enumerated(model)
    rule = TemperedMeanFieldPCD(temperatures=4, lowest=0.2, chains=2000, sweeps=60)
    torch.manual_seed(0)
    rule.begin(model, TrainSplit(torch.rand(50, 5).round()))
    model.float()
    rule.backward(model, torch.zeros(1, 5))
    states = torch.cat(every.states[::2], 1)
    expected = (every.log_joint.exp().flatten().detach() @ states).float()
    se = rule.chains.std(0) / math.sqrt(2000)
    assert ((rule.chains.mean(0) - expected).abs() < 5 * se).all()
    assert rule.hot.shape == (3, 2000, 8)
