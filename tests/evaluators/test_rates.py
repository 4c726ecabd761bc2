"""The base with a machine's own rates, against enumeration."""

import pytest
import torch

from hwbench.evaluators.ais import Base, anneal, temperatures
from hwbench.evaluators.rates import own_rates
from hwbench.protocols import Couplings


@pytest.mark.statistical
@pytest.mark.parametrize("transposed", [False, True])
def test_it_has_the_rates_of_the_machine(transposed, random_dbm, enumerated):
    """Each within 5 s.e., after the smoothing by half a chain; from far away as from near by."""
    model, n = random_dbm(1, 4, (3, 2)), 20_000
    exact = enumerated(model)
    p = exact.log_joint.exp().flatten().detach()
    even, odd = (p @ torch.cat(exact.states[i::2], 1) for i in (0, 1))
    weight, b, c = (t.detach() for t in model.couplings())
    couplings = Couplings(weight.t(), c, b) if transposed else Couplings(weight, b, c)
    expected = (odd, even) if transposed else (even, odd)
    start = torch.full_like(couplings.visible_bias, 3.0)
    base = own_rates(couplings, start, n, 50)
    for found, m in zip((base.kept, base.summed), expected, strict=True):
        smooth = (n * m + 0.5) / (n + 1)
        assert ((found.sigmoid() - smooth).abs() < 5 * (m * (1 - m) / n).sqrt()).all()


def test_it_depends_on_the_machine_alone(random_dbm):
    """It draws the same numbers whatever was drawn before, and takes none from others."""
    couplings = Couplings(*(t.detach() for t in random_dbm(0, 4, (3, 2)).couplings()))
    start = torch.zeros_like(couplings.visible_bias)
    torch.manual_seed(1)
    a = own_rates(couplings, start, 10, 3)
    drawn = torch.rand(3)
    b = own_rates(couplings, start, 10, 3)
    torch.testing.assert_close(a.kept, b.kept, rtol=0, atol=0)
    torch.testing.assert_close(a.summed, b.summed, rtol=0, atol=0)
    torch.manual_seed(1)
    torch.testing.assert_close(drawn, torch.rand(3), rtol=0, atol=0)


def test_a_unit_that_is_always_off_keeps_finite_log_odds():
    couplings = Couplings(torch.zeros(2, 3), torch.full((2,), -1e3), torch.full((3,), 1e3))
    base = own_rates(couplings, torch.zeros(2), 9, 1)
    torch.testing.assert_close(base.kept, torch.tensor([0.05, 0.05]).logit())
    torch.testing.assert_close(base.summed, torch.tensor([0.95] * 3).logit())


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
    for base in (own_rates(Couplings(weight, b, c), coins.kept, 100, 100), coins):
        log_w = anneal(Couplings(weight, b, c), base, betas, base.draw(200, g), g)
        spread.append(log_w.std().item())
    assert spread[0] < 0.5 * spread[1]
