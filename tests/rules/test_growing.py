"""Growing sweeps and sparse units against the schedule and the term by hand."""

import pytest
import torch

from hwbench.models.dbn import DBN
from hwbench.models.multimodal import MultimodalDBM, SimpleMultimodal
from hwbench.protocols import Counts, PairedTrainSplit
from hwbench.rules.growing import GrowingCD
from hwbench.rules.pretraining import GreedyCD

WORDS, LENGTH = 4, 3


@pytest.fixture
def split():
    torch.manual_seed(0)
    text = torch.tensor([[1, 0, 2, 0], [0, 1, 0, 1], [2, 0, 0, 0], [0, 0, 1, 3]])
    names = tuple("abcd")
    return PairedTrainSplit(values=torch.randn(4, 3), text=Counts.of(text), word_names=names)


@pytest.fixture
def model():
    torch.manual_seed(1)
    net = MultimodalDBM(3 + WORDS, 2, WORDS, [3, 2], [2, 3], 4, length=LENGTH)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.7)
    return net


def step(rule, model, x, by="backward"):
    """The gradients of one step from a fixed seed, by name."""
    torch.manual_seed(2)
    model.zero_grad()
    if by == "forward":
        rule(model, x).backward()
    else:
        rule.backward(model, x)
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def sweeps(rule, steps, block=1):
    """The sweeps of each step, taken in blocks."""
    seen = []
    for t in range(steps):
        if t % block == 0:
            rule.advance(t / steps)
        seen.append(rule.divergence.k)
    return seen


def test_the_sweeps_of_each_step():
    """As the code computes them: k up to step 4 of 12, then k + 1 + ⌊(t − 4) / 3⌋."""
    rule = GrowingCD(2, k=2, grow_after=4 / 12, grow_every=3 / 12)
    one = sweeps(rule, 12)
    assert one == [2, 2, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5]
    assert sweeps(rule, 12, block=2) == [k for k in one[::2] for _ in range(2)]
    assert sweeps(GrowingCD(2, k=2, grow_after=4 / 12), 12) == [2] * 12


def test_the_sweeps_of_the_second_image_layer():
    """200 000 steps; one more sweep every 5000 from step 15 000 on, by integers."""
    rule = GrowingCD(2, grow_after=0.075, grow_every=0.025)
    ts = range(0, 200_000, 50)
    expected = [1 if t <= 15_000 else 2 + (t - 15_000) // 5000 for t in ts]
    assert sweeps(rule, len(ts)) == expected


def test_the_dry_run_meets_the_mean_number_of_sweeps():
    """It times a step in the middle of each quarter of a stage."""
    rule, found = GrowingCD(2, grow_after=0.075, grow_every=0.025), []
    for quarter in range(4):
        rule.advance((quarter + 0.5) / 4)
        found.append(rule.divergence.k)
    mean = sum(sweeps(rule, 4000)) / 4000
    assert abs(sum(found) / 4 - mean) < 0.05 * mean


def test_a_resumed_run_goes_on(model, split):
    x = split.batch(torch.arange(4))
    rules = [GrowingCD(3, grow_every=0.2, sparsity=0.2) for _ in range(2)]
    for rule in rules:
        rule.begin(model, split)
    for _ in range(5):
        rules[0].backward(model, x)
    rules[1].load_state_dict(rules[0].state_dict())
    for rule in rules:
        rule.advance(0.5)
    assert [rule.divergence.k for rule in rules] == [4, 4]  # k + 1 + ⌊0.5 / 0.2⌋
    first, second = (step(rule, model, x) for rule in rules)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("layer", range(1, 6))
def test_without_growth_and_target_it_is_greedy_cd(model, split, layer):
    x = split.batch(torch.arange(4))
    ours = step(GrowingCD(layer, k=2, weight_decay=0.1), model, x)
    theirs = step(GreedyCD(layer, k=2, weight_decay=0.1), model, x)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# The pair's weights and hidden biases, by layer, and the factor of these biases in a unit's input.
PAIRS = {
    1: ("paths.0.first.weight", "paths.0.first.hidden_bias", 1),
    2: ("paths.0.second.weights.0", "paths.0.second.above_bias", 1),
    3: ("paths.1.first.weight", "paths.1.first.hidden_bias", LENGTH),
    4: ("paths.1.second.weights.0", "paths.1.second.above_bias", 1),
    5: ("top.weights.0", "top.above_bias", 1),
}


@pytest.mark.parametrize("by", ["backward", "forward"])
@pytest.mark.parametrize("layer", PAIRS)
def test_the_term_moves_inputs_by_the_derivative_of_the_divergence(model, split, layer, by):
    """Gradients differ from those without the term by e times each factor of the mean input.

    e is cost ∂KL(target ‖ q)/∂q by autograd, at the q that two steps with the same mean lead to
    from the target.
    """
    x, target, cost, damping = split.batch(torch.arange(4)), 0.3, 0.5, 0.9
    weight, bias, factor = PAIRS[layer]
    plain = GrowingCD(layer, weight_decay=0.1)
    rule = GrowingCD(
        layer, weight_decay=0.1, sparsity=target, sparsity_cost=cost, sparsity_damping=damping
    )
    rule.begin(model, split)
    step(rule, model, x, by)
    without, found = step(plain, model, x, by), step(rule, model, x, by)

    torch.manual_seed(2)
    below = model.below(x, layer)
    parameters = dict(model.named_parameters())
    scale = 1.0 if layer == 5 else 2.0  # all but the top are doubled
    inputs = below @ parameters[weight] + factor * parameters[bias]
    mean = (scale * inputs).sigmoid().mean(0).detach()
    q = mean + damping**2 * (target - mean)
    q.requires_grad_()
    kl = target * (target / q).log() + (1 - target) * ((1 - target) / (1 - q)).log()
    (e,) = torch.autograd.grad(cost * kl.sum(), q)

    assert e.abs().min() > 1e-3  # the term can be told from nothing
    for name, other in without.items():
        expected = torch.zeros_like(other)
        if name == weight:
            expected = torch.outer(below.mean(0), e)
        elif name == bias:
            expected = factor * e
        torch.testing.assert_close(found[name] - other, expected, atol=2e-6, rtol=1e-4)


def test_a_unit_that_is_never_on_has_a_finite_term(split):
    net = DBN(5, layers=[3, 2])
    rule = GrowingCD(1, sparsity=0.2, sparsity_cost=1.0, sparsity_damping=0.0)
    with torch.no_grad():
        net.pair(1).couplings().hidden_bias.fill_(-200.0)
    x = torch.ones(2, 5)
    rule.begin(net, split)
    step(rule, net, x)
    e = net.pair(1).couplings().hidden_bias.grad
    torch.testing.assert_close(e, torch.full((3,), -0.2 / (1e-3 * 0.999)))


def test_what_it_cannot_train_is_named(model):
    with pytest.raises(ValueError, match="there is no layer 6 to pretrain"):
        GrowingCD(6).check(model)
    one = SimpleMultimodal.tiny()
    GrowingCD(1).check(one)
    with pytest.raises(ValueError, match="SimpleMultimodal: layer 1 has no single matrix"):
        GrowingCD(1, sparsity=0.1).check(one)
