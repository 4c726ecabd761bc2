"""The base with a machine's own rates, against enumeration."""

import pytest
import torch

from hwbench.evaluators.ais import Base, anneal, temperatures
from hwbench.evaluators.rates import own_rates
from hwbench.protocols import Couplings


@pytest.mark.statistical
@pytest.mark.parametrize("start", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("transposed", [False, True])
def test_it_has_the_rates_of_the_machine(transposed, start, random_dbm, enumerated):
    """Each within 5 s.e. after the smoothing, from far away as from near by."""
    model, n = random_dbm(1, 4, (3, 2)), 20_000
    exact = enumerated(model)
    p = exact.log_joint.exp().flatten().detach()
    even, odd = (p @ torch.cat(exact.states[i::2], 1) for i in (0, 1))
    weight, b, c = (t.detach() for t in model.couplings())
    couplings = Couplings(weight.t(), c, b) if transposed else Couplings(weight, b, c)
    expected = (odd, even) if transposed else (even, odd)
    begin = torch.full_like(couplings.visible_bias, start)
    for found, m in zip(own_rates(couplings, begin, 50, n), expected, strict=True):
        smooth = (n * m + 0.5) / (n + 1)
        assert ((found.sigmoid() - smooth).abs() < 5 * (m * (1 - m) / n).sqrt()).all()


def test_a_rate_is_a_chance_and_no_count():
    """Of one chain, whose units are on or off: where both sides are free, both have σ(bias)."""
    b, c = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.5, -0.2])
    below, above = own_rates(Couplings(torch.zeros(2, 3), b, c), torch.zeros(2), 3, chains=1)
    for found, bias in ((below, b), (above, c)):
        torch.testing.assert_close(found.sigmoid(), (bias.sigmoid() + 0.5) / 2)


@pytest.mark.parametrize("on", [False, True])
def test_chains_start_where_they_are_told(on):
    """Without a sweep the rates above are those given the start."""
    couplings = Couplings(torch.full((2, 3), 1.5), torch.zeros(2), torch.zeros(3))
    _, above = own_rates(couplings, torch.full((2,), 99.0 if on else -99.0), 0, chains=10_000)
    expected = torch.full((3,), 3.0 if on else 0.0).sigmoid()
    torch.testing.assert_close(above.sigmoid(), expected, rtol=0, atol=1e-4)


def test_it_draws_the_same_numbers_and_takes_none_from_others(random_dbm):
    couplings = Couplings(*(t.detach() for t in random_dbm(0, 4, (3, 2)).couplings()))
    start = torch.zeros_like(couplings.visible_bias)
    torch.manual_seed(1)
    first = own_rates(couplings, start, 3)
    drawn = torch.rand(3)
    for a, b in zip(first, own_rates(couplings, start, 3), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    torch.manual_seed(1)
    torch.testing.assert_close(drawn, torch.rand(3), rtol=0, atol=0)


def test_a_machine_that_is_not_a_number_gives_no_number():
    couplings = Couplings(torch.full((2, 3), torch.nan), torch.zeros(2), torch.zeros(3))
    assert all(rates.isnan().all() for rates in own_rates(couplings, torch.zeros(2), 2))


def test_a_unit_that_is_always_off_keeps_finite_log_odds():
    couplings = Couplings(torch.zeros(2, 3), torch.full((2,), -1e3), torch.full((3,), 1e3))
    below, above = own_rates(couplings, torch.zeros(2), 1, chains=9)
    torch.testing.assert_close(below, torch.tensor([0.05, 0.05]).logit())
    torch.testing.assert_close(above, torch.tensor([0.95] * 3).logit())


def test_weights_vary_less_than_from_fair_coins(random_dbm):
    """Of a machine with few units on, in few steps."""
    model = random_dbm(0, 30, (20, 40), scale=0.5)
    with torch.no_grad():
        for bias in model.biases:
            bias.sub_(2.0)
    weight, b, c = (t.detach() for t in model.couplings())
    g, betas = torch.Generator().manual_seed(0), temperatures([[0, 1, 30]])
    spread = []
    coins = Base(torch.zeros_like(b), torch.zeros_like(c))
    for base in (Base(*own_rates(Couplings(weight, b, c), coins.kept, 100)), coins):
        log_w = anneal(Couplings(weight, b, c), base, betas, base.draw(200, g), g)
        spread.append(log_w.std().item())
    assert spread[0] < 0.5 * spread[1]
