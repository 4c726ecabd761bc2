"""Layers of binary units against arithmetic unit by unit, in float64."""

import math

import numpy as np
import pytest
import torch

from hwbench.models import nade
from hwbench.models.darn import AutoregressiveLayer
from hwbench.models.layers import DeterministicLayer, SigmoidLayer, clamp_logits, log_bernoulli
from hwbench.models.nade import NADE, NADELayer, logits_by_blocks, logits_by_loop

SIGMA = 5.0  # statistical tests: standard errors allowed
KINDS = [SigmoidLayer, AutoregressiveLayer, NADELayer, DeterministicLayer]


def all_binary(n):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * n).view(-1, n)


def randomised(module, scale=1.0):
    """Give every parameter a value of its own, so that no test passes by symmetry."""
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale)
    return module


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def log_prob_by_hand(layer, x, h=None):
    """log p(x | h) of one point, unit after unit, from the parameters alone."""
    value = {name: p.detach().numpy() for name, p in layer.named_parameters()}

    def affine(name, above):
        b = value[f"{name}.bias"]
        return b if above is None else b + value[f"{name}.weight"] @ above

    total = 0.0
    for d in range(len(x)):
        if isinstance(layer, DeterministicLayer):
            a = affine("affine", sigmoid(affine("hidden", h)))[d]
        else:
            a = affine("affine", h)[d]
        if isinstance(layer, AutoregressiveLayer):
            a += sum(value["weight"][d, e] * x[e] for e in range(d))
        if isinstance(layer, NADELayer):
            hidden = affine("hidden", h) + sum(x[e] * value["encode"][e] for e in range(d))
            a += value["decode"][d] @ sigmoid(hidden)
        p = sigmoid(a)
        if layer.clamped:
            p = 0.9999 * p + 0.000005
        total += math.log(p if x[d] else 1 - p)
    return total


LAYERS = [
    (kind, above, clamped)
    for kind in KINDS
    for above in ((3,) if kind is DeterministicLayer else (3, 0))
    for clamped in (False, True)
]


@pytest.mark.parametrize(("kind", "above", "clamped"), LAYERS)
def test_log_prob_is_that_by_hand_and_sums_to_one(kind, above, clamped):
    torch.manual_seed(0)
    layer = randomised(kind(above, 5, clamped=clamped))
    x = all_binary(5)
    for h in all_binary(3)[[1, 6]] if above else [None]:
        log_p = layer(h).log_prob(x)
        by_hand = [log_prob_by_hand(layer, v.numpy(), None if h is None else h.numpy()) for v in x]
        np.testing.assert_allclose(log_p.detach().numpy(), by_hand, rtol=1e-10)
        assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("kind", "above", "clamped"), LAYERS)
@pytest.mark.parametrize("units", [1, 5, 70])
def test_samples_accumulate_the_log_prob_that_scoring_gives(kind, above, clamped, units):
    """Sampling and scoring use the same triangle; 70 units are more than a block of either kind."""
    torch.manual_seed(0)
    layer = randomised(kind(above, units, clamped=clamped))
    units_given = layer(torch.bernoulli(torch.full((4, above), 0.5)).double() if above else None)
    shape = (3,) if above else (3, 4)
    with torch.no_grad():
        x, accumulated = units_given.draw(shape)
    assert x.shape == (3, 4, units)
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(
        accumulated, units_given.log_prob(x).detach(), rtol=1e-10, atol=1e-10
    )
    _, logits = units_given.trace(shape)
    assert not logits.requires_grad
    assert units_given.draw(shape)[1].requires_grad


@pytest.mark.statistical
@pytest.mark.parametrize(("kind", "above", "clamped"), LAYERS)
def test_samples_follow_the_distribution(kind, above, clamped):
    """The frequency of each of 16 vectors, within 5 standard errors of its probability."""
    torch.manual_seed(1)
    n = 40_000
    layer = randomised(kind(above, 4, clamped=clamped))
    units = layer(torch.ones(above).double() if above else None)
    p = units.log_prob(all_binary(4)).exp().detach()
    code = units.sample((n,)) @ torch.tensor([8.0, 4.0, 2.0, 1.0]).double()
    frequency = torch.bincount(code.long(), minlength=16) / n
    assert ((frequency - p).abs() / (p * (1 - p) / n).sqrt()).max() < SIGMA


@pytest.mark.parametrize("kind", [AutoregressiveLayer, NADELayer])
def test_a_logit_depends_on_earlier_units_only(kind):
    torch.manual_seed(0)
    units = randomised(kind(0, 40))()
    x = torch.bernoulli(torch.full((1, 40), 0.5)).double()
    before = units.logits(x)
    for e in range(40):
        flipped = x.clone()
        flipped[0, e] = 1 - flipped[0, e]
        changed = (units.logits(flipped) - before).abs()[0] > 1e-12
        assert not changed[: e + 1].any()
        assert changed[e + 1 :].all()


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_one_condition_share_its_computation(kind):
    """x [K, B, D] scored against logits [B, D] is x scored against each logit repeated K times."""
    torch.manual_seed(0)
    layer = randomised(kind(3, 6))
    h = torch.rand(4, 3).double()
    x = torch.bernoulli(torch.full((5, 4, 6), 0.5)).double()
    repeated = layer(h.expand(5, 4, 3)).log_prob(x)
    torch.testing.assert_close(layer(h).log_prob(x), repeated, rtol=1e-12, atol=1e-12)
    one = torch.bernoulli(torch.full((4, 6), 0.5)).double()
    several = layer(h.expand(5, 4, 3)).log_prob(one)  # [B, D] against [K, B, D]
    torch.testing.assert_close(several, layer(h).log_prob(one).expand(5, 4))


def pictures(kind, n, d):
    if kind == "grey":
        return torch.rand(n, d).double()
    p = {"off": 0.0, "sparse": 0.1, "half": 0.5, "on": 1.0}[kind]
    return torch.bernoulli(torch.full((n, d), p)).double()


@pytest.mark.parametrize("kind", ["off", "sparse", "half", "on", "grey"])
@pytest.mark.parametrize(
    ("n", "d", "hidden"),
    [(0, 40, 2), (1, 1, 1), (1, 16, 2), (1, 50, 3), (3, 5, 2), (2, 16, 3), (3, 17, 4), (5, 50, 7)],
)
def test_nade_by_blocks_is_nade_by_loop(kind, n, d, hidden):
    """Values and gradients, in float64; a block is 16 units."""
    torch.manual_seed(0)
    x = pictures(kind, n, d)
    results = []
    for form in (logits_by_loop, logits_by_blocks):
        torch.manual_seed(1)
        arguments = [
            torch.randn(shape).double().requires_grad_()
            for shape in [(n, hidden), (d, hidden), (d, hidden)]
        ]
        logits = form(x, *arguments)
        logits.backward(torch.randn(n, d).double())
        grads = [torch.zeros_like(a) if a.grad is None else a.grad for a in arguments]
        results.append([logits.detach(), *grads])
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["off", "sparse", "half", "on", "grey"])
@pytest.mark.parametrize(("n", "d"), [(0, 40), (1, 1), (1, 48), (4, 50), (30, 784)])
def test_plans_made_at_once_are_those_of_each_block(kind, n, d):
    """To the bit; and each state is what its place says: the units before it in the block."""
    torch.manual_seed(0)
    x = pictures(kind, n, d)
    plans = nade._plans(x)
    blocks = x.split(nade.BLOCK, 1)
    assert len(plans) == len(blocks)
    for plan, block in zip(plans, blocks, strict=True):
        (alone,) = nade._plans(block)
        assert all(torch.equal(a, b) for a, b in zip(plan, alone, strict=True))
        width = block.shape[1]
        state = (plan.place // width).view(n, width)
        assert torch.equal(plan.place.view(n, width) % width, torch.arange(width).expand(n, -1))
        for unit in range(width):
            before = block * (torch.arange(width) < unit)
            assert torch.equal(plan.seen[state[:, unit]], before)
            assert torch.equal(plan.point[state[:, unit]], torch.arange(n))
        assert len(plan.point) == n + (block[:, :-1] != 0).sum()


def test_nade_gradients_by_finite_differences():
    torch.manual_seed(0)
    x = pictures("half", 2, 18)
    shapes = [(2, 3), (18, 3), (18, 3)]
    arguments = [torch.randn(shape).double().requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *a: logits_by_blocks(x, *a), arguments)


def test_the_clamped_sigmoid_is_the_formula():
    a = torch.linspace(-40, 40, 81).double()
    torch.testing.assert_close(clamp_logits(a).sigmoid(), 0.9999 * a.sigmoid() + 0.000005)
    assert clamp_logits(torch.tensor([-1e4, 1e4])).isfinite().all()


def test_starts_are_those_of_the_paper():
    torch.manual_seed(0)
    sbn, ar, nade, dsbn = (
        SigmoidLayer(8, 6),
        AutoregressiveLayer(8, 6),
        NADELayer(8, 6),
        DeterministicLayer(8, 6),
    )
    assert (sbn.affine.bias == -1).all()
    assert (dsbn.affine.bias == -1).all()
    assert (dsbn.hidden.bias == -1).all()
    assert (ar.affine.bias == 0).all()
    assert (nade.affine.bias == 0).all()
    assert (nade.hidden.bias == 0).all()
    assert nade.encode.shape == (6, 6)  # the smaller side
    assert NADELayer(0, 9).encode.shape == (9, 9)
    assert dsbn.hidden.bias.shape == (8 + 3,)
    bound = math.sqrt(6 / 14) / 8
    wide = SigmoidLayer(8, 6, init="glorot").affine.weight.abs().max()
    assert bound / 2 < sbn.affine.weight.abs().max() <= bound
    assert bound < wide <= 8 * bound
    assert (ar.weight.triu() == 0).all()


def test_weights_start_in_the_range_of_their_own_two_sides():
    """√(6 / (n_in + n_out)) / n_in, half of it for the weights among the units of a top AR-SBN."""
    torch.manual_seed(0)
    wide = NADELayer(8, 200, hidden=50)
    for weight, inputs, outputs, part in (
        (AutoregressiveLayer(0, 200).weight, 200, 200, 0.5),
        (AutoregressiveLayer(8, 200).weight, 200, 200, 1.0),
        (AutoregressiveLayer(8, 200).affine.weight, 8, 200, 1.0),
        (wide.encode, 200, 50, 1.0),
        (wide.decode, 50, 200, 1.0),
        (wide.hidden.weight, 8, 50, 1.0),
        (wide.affine.weight, 8, 200, 1.0),
    ):
        bound = part * math.sqrt(6 / (inputs + outputs)) / inputs
        assert 0.95 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize("order", [None, 3])
def test_nade_is_a_density(order):
    torch.manual_seed(0)
    model = randomised(NADE(9, hidden=4, order=order))
    assert model.log_prob(all_binary(9)).exp().sum().item() == pytest.approx(1.0, abs=1e-10)


def test_nade_reads_pixels_in_its_order():
    torch.manual_seed(0)
    model, plain = randomised(NADE(9, 4, order=3)), randomised(NADE(9, 4))
    plain.generative.load_state_dict(model.generative.state_dict())
    x = all_binary(9)
    assert sorted(model.order.tolist()) == list(range(9))
    assert model.order.tolist() != list(range(9))
    torch.testing.assert_close(model.log_prob(x), plain.log_prob(x[:, model.order]))


@pytest.mark.statistical
def test_nade_samples_have_the_density_s_means():
    """The mean of P(x_d = 1 | x_{<d}) along samples is P(x_d = 1), within 5 standard errors."""
    torch.manual_seed(0)
    model = randomised(NADE(6, hidden=4, order=2))
    x = all_binary(6)
    expected = model.log_prob(x).exp().detach() @ x
    means = model.sample(20_000)
    assert (
        (means.mean(0) - expected).abs() <= SIGMA * means.std(0) / math.sqrt(20_000) + 1e-12
    ).all()


@pytest.mark.parametrize(
    ("x", "logits"),
    [
        ((2, 784), (5, 2, 784)),  # samples of points
        ((5, 2, 9), (2, 9)),  # q's logits, computed once
        ((5, 2, 8), (8,)),  # the top layer
        ((3, 12), (5, 1, 12)),  # samples that all points share
        ((5, 1, 7), (5, 1, 7)),
        ((6,), (6,)),
    ],
)
def test_scores_without_gradients_are_those_with(x, logits):
    """In double precision, at logits up to ±100 and at 0; torch's softplus leaves out e^−20."""
    generator = torch.Generator().manual_seed(0)
    bits = (torch.rand(x, generator=generator) < 0.3).double()
    a = 30 * torch.randn(logits, generator=generator).double()
    a[..., 0] = 0.0
    a[..., -1] = -100.0
    expected = log_bernoulli(bits, a.requires_grad_())
    with torch.no_grad():
        found = log_bernoulli(bits, a)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-7)
    assert (a[..., -1] == -100.0).all()  # unchanged
