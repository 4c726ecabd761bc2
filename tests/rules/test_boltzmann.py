"""Joint training of deep Boltzmann machines against exact gradients and likelihoods."""

import copy

import pytest
import torch

from hwbench.models.dbm import DBM
from hwbench.models.realnet import RealFineTunedDBM
from hwbench.models.stack import _Pair
from hwbench.optimizers.decay import DecayingSGD
from hwbench.protocols import TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD
from hwbench.rules.contrastive import ContrastiveDivergence
from hwbench.rules.pretraining import GreedyCD

PATTERNS = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])


@pytest.fixture
def toy():
    """Three patterns of six units, a little noisy: 300 points."""
    draws = torch.Generator().manual_seed(0)
    x = PATTERNS[torch.randint(3, (300,), generator=draws)]
    flips = (torch.rand(x.shape, generator=draws) < 0.05).float()
    return TrainSplit((x - flips).abs())


def exact_log_likelihood(model, enumerated, train):
    """Mean log p(x) of the training points, by enumeration."""
    log_px = enumerated(copy.deepcopy(model).double()).log_px
    d = model.visible
    code = (train.values.double() @ 2.0 ** torch.arange(d - 1, -1, -1).double()).long()
    return log_px[code].mean().item()


def learn(rule, model, train, optimizer, steps):
    rule.begin(model, train)
    for step in range(steps):
        rule.advance(step / steps)
        optimizer.zero_grad()
        rule.backward(model, train.batch(torch.randint(len(train), (100,))))
        optimizer.step()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [[4, 3], [3, 3, 2]])
@pytest.mark.usefixtures("unchecked")
def test_each_stage_raises_the_exact_log_likelihood(layers, precision, toy, enumerated):
    """By half a nat and more, greedy layers and joint training each from its own start."""
    torch.manual_seed(0)
    greedy, joint = DBM(6, layers=layers, init=0.1), DBM(6, layers=layers, init=0.5)
    before = []
    for model in (greedy, joint):
        model.adapt(toy)
        before.append(exact_log_likelihood(model, enumerated, toy))
    for layer in range(1, len(layers) + 1):
        optimizer = torch.optim.SGD(greedy.parameters(), lr=0.2, momentum=0.8)
        learn(GreedyCD(layer=layer, precision=precision), greedy, toy, optimizer, 60)
    optimizer = DecayingSGD(joint.parameters(), lr=0.05, momentum=0.8, decay=1.005)
    rule = MeanFieldPCD(iterations=3, sweeps=1, precision=precision)
    learn(rule, joint, toy, optimizer, 150)
    for model, start in zip((greedy, joint), before, strict=True):
        assert exact_log_likelihood(model, enumerated, toy) > start + 0.5


@pytest.mark.statistical
def test_the_gradient_is_that_of_the_bound(random_dbm, enumerated, all_binary):
    """With chains at equilibrium the mean over steps is the exact gradient, within 5 s.e."""
    model, x = random_dbm(1, 5, (4, 3), scale=0.5), all_binary(5)[[3, 11, 18, 30]]
    parameters = [*model.weights, *model.biases]
    every = enumerated(model)
    p = every.log_joint.exp().flatten().detach()
    means = model.mean_field(x, 30)
    exact = model.energy([x, *means]).mean() - p @ model.energy(every.states)
    expected = torch.autograd.grad(exact, parameters)

    rule = MeanFieldPCD(iterations=30, chains=500, sweeps=1)
    torch.manual_seed(0)
    rule.begin(model, TrainSplit(x))
    rule.chains = torch.cat([h[p.multinomial(500, replacement=True)] for h in every.states[::2]], 1)
    rule.chains = model.gibbs(rule.chains, 20)  # x and h_2 were drawn apart
    gradients = []
    for _ in range(100):
        model.zero_grad()
        rule.backward(model, x)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
    batches = torch.stack(gradients).view(20, 5, -1).mean(1)  # batch means: chains remember
    z = (batches.mean(0) - torch.cat([g.flatten() for g in expected])) / batches.std(0)
    assert (z.abs() * 20**0.5 < 5).all()


def test_sparsity_moves_inputs_by_the_excess(random_dbm):
    """Its gradient: cost (m − target) times what multiplies the parameter in the unit's input."""
    model = random_dbm(2, 5, (4, 3))
    x = torch.rand(6, 5).double().round()
    plain = MeanFieldPCD(chains=10)
    sparse = MeanFieldPCD(chains=10, sparsity=[0.2, 0.1], sparsity_cost=0.5, sparsity_damping=0.9)
    found = []
    for rule in (plain, sparse):
        torch.manual_seed(0)
        rule.begin(model, TrainSplit(x))
        rule.chains, rule.activity = rule.chains.double(), rule.activity.double()
        model.zero_grad()
        torch.manual_seed(1)
        rule.backward(model, x)
        found.append([p.grad.clone() for p in (*model.weights, *model.biases)])
    mu = model.mean_field(x, 10)
    e1, e2 = (0.5 * 0.1 * (m.mean(0) - t) for m, t in zip(mu, (0.2, 0.1), strict=True))
    expected = [
        x.mean(0)[:, None] * e1,
        e1[:, None] * mu[1].mean(0) + mu[0].mean(0)[:, None] * e2,
        torch.zeros(5).double(),
        e1,
        e2,
    ]
    for a, b, e in zip(*found, expected, strict=True):
        torch.testing.assert_close(b - a, e)


def test_sparsity_lowers_activity(toy):
    """Units that are on half of the time come down towards the target."""
    activity = []
    for sparsity in (None, [0.1, 0.1]):
        torch.manual_seed(0)
        model = DBM(6, layers=[4, 3])
        rule = MeanFieldPCD(iterations=2, sweeps=1, sparsity=sparsity, sparsity_cost=1.0)
        learn(rule, model, toy, torch.optim.SGD(model.parameters(), lr=0.5), 40)
        means = model.mean_field(toy.values, 10)
        activity.append(torch.cat([m.mean(0) for m in means]).mean().item())
    assert activity[1] < activity[0] - 0.1
    assert activity[1] < 0.3


def test_weight_decay_adds_the_weights(random_dbm):
    model = random_dbm(3)
    x = torch.rand(6, 5).double().round()
    found = []
    for decay in (0.0, 0.1):
        torch.manual_seed(0)
        rule = MeanFieldPCD(chains=10, weight_decay=decay)
        rule.begin(model, TrainSplit(x))
        rule.chains = rule.chains.double()
        model.zero_grad()
        rule.backward(model, x)
        found.append([p.grad.clone() for p in (*model.weights, *model.biases)])
    for p, a, b in zip((*model.weights, *model.biases), *found, strict=True):
        torch.testing.assert_close(b - a, 0.1 * p.detach() if p.ndim == 2 else torch.zeros_like(p))


def test_grey_pixels_are_drawn_afresh(toy):
    """As with binary points whose mean they are; nothing but 0 and 1 meets the chains."""
    model = DBM(6, layers=[4, 3])
    grey = TrainSplit(torch.full((100, 6), 0.3))
    rule = MeanFieldPCD(chains=10)
    rule.begin(model, grey)
    assert ((rule.chains == 0) | (rule.chains == 1)).all()
    positive, _ = rule._phases(model, grey.values)
    again, _ = rule._phases(model, grey.values)
    assert ((positive[0] == 0) | (positive[0] == 1)).all()
    assert not torch.equal(positive[0], again[0])
    assert positive[0].mean().item() == pytest.approx(0.3, abs=0.1)


def test_a_step_has_its_sweeps_and_chains_go_on_from_the_last(toy, monkeypatch):
    """What the spec says of mean field and of the chains reaches the machine."""
    model, fields, chains = DBM(6, layers=[4, 3]), [], []
    mean_field, gibbs = model.mean_field, model.gibbs

    def watched(even, k):
        chains.append((even, k, gibbs(even, k)))
        return chains[-1][2]

    monkeypatch.setattr(model, "mean_field", lambda x, *a: fields.append(a) or mean_field(x, *a))
    monkeypatch.setattr(model, "gibbs", watched)
    rule = MeanFieldPCD(iterations=7, tolerance=1e-3, damping=0.25, chains=5, sweeps=3)
    rule.begin(model, toy)
    start = rule.chains
    for _ in range(2):
        rule.backward(model, toy.values)
    assert fields == [(7, 1e-3, 0.25)] * 2
    (first, k, after), (second, again, last) = chains
    assert (k, again) == (3, 3)
    assert first is start
    assert second is after
    assert rule.chains is last


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_sweeps_have_the_precision_that_the_rules_name(precision, toy, monkeypatch):
    """Mean field, chains of the machine and those of its pairs; nothing else is rounded."""
    seen, wanted = [], getattr(torch, precision)
    model = DBM(6, layers=[4, 3])
    for name in ("mean_field", "gibbs"):
        inner = getattr(model, name)
        monkeypatch.setattr(
            model, name, lambda x, *a, inner=inner: seen.append(x.dtype) or inner(x, *a)
        )
    swept = _Pair.gibbs
    monkeypatch.setattr(
        _Pair, "gibbs", lambda pair, x, k: seen.append(x.dtype) or swept(pair, x, k)
    )
    joint = MeanFieldPCD(chains=5, precision=precision)
    joint.begin(model, toy)
    for rule in (joint, GreedyCD(layer=1, precision=precision), GreedyCD(2, precision=precision)):
        rule.backward(model, toy.values)
    assert seen == [wanted] * 4
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.statistical
def test_low_precision_moves_the_gradient_by_its_rounding_only(random_dbm):
    """The mean over steps is that of float32 within 5 s.e. and 1 %; means and parameters stay."""
    model = random_dbm(6, 20, (15, 10), scale=0.3).float()
    x = torch.rand(50, 20, generator=torch.Generator().manual_seed(1))
    found = []
    for precision in ("float32", "bfloat16"):
        rule = MeanFieldPCD(chains=500, sweeps=3, sparsity=[0.2, 0.1], precision=precision)
        torch.manual_seed(2)
        rule.begin(model, TrainSplit(x))
        gradients = []
        for step in range(300):
            model.zero_grad()
            rule.backward(model, x)
            if step >= 100:
                gradients.append(torch.cat([p.grad.flatten() for p in model.weights]))
        assert rule.chains.dtype == torch.float32
        batches = torch.stack(gradients).view(20, 10, -1).mean(1)
        found.append((batches.mean(0), batches.std(0) / 20**0.5))
    (plain, se), (rounded, other) = found
    assert ((plain - rounded).abs() < 5 * (se**2 + other**2).sqrt() + 0.01 * plain.abs()).all()


def test_bad_input(toy):
    model = DBM(6, layers=[4, 3])
    real = RealFineTunedDBM(visible=6, classes=2, layers=[4, 3, 2])
    with pytest.raises(ValueError, match=r"bfloat16 is for binary units; .* layer 1 are real"):
        GreedyCD(layer=1, precision="bfloat16").check(real)
    GreedyCD(layer=2, precision="bfloat16").check(real)
    with pytest.raises(ValueError, match="one target for each of the 2 hidden layers"):
        MeanFieldPCD(sparsity=[0.1]).check(model)
    with pytest.raises(ValueError, match="call begin first"):
        MeanFieldPCD().backward(model, toy.values)
    with pytest.raises(ValueError, match="no layer 3 to pretrain; the model has 2"):
        GreedyCD(layer=3).check(model)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_greedy_step_is_contrastive_divergence_of_its_pair(layer, precision, random_dbm):
    """On draws of the layer below; the surrogate loss has the gradient that is made by hand."""
    model, x = random_dbm(5, 5, (4, 3, 2)), torch.rand(6, 5).double()
    rule, gradients = GreedyCD(layer=layer, k=2, weight_decay=0.1, precision=precision), []

    def by_hand():
        below = (torch.rand_like(x) < x).double()
        for number in range(1, layer):
            below = model.pair(number).up(below).sigmoid().detach()
        if layer > 1:
            below = (torch.rand_like(below) < below).double()
        divergence = ContrastiveDivergence(k=2, weight_decay=0.1)
        return divergence(model.pair(layer), below if precision == "float32" else below.bfloat16())

    for step in (lambda: by_hand().backward(), lambda: rule(model, x).backward(), None):
        torch.manual_seed(0)
        model.zero_grad()
        rule.backward(model, x) if step is None else step()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    for found in gradients[1:]:
        assert found.keys() == gradients[0].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(found[name], gradient, msg=name)


def test_pretraining_a_layer_leaves_the_others_alone(toy):
    """Layer 2 moves its own weights and biases; c of layer 1 stays, and gets a second one added."""
    torch.manual_seed(0)
    model = DBM(6, layers=[4, 3, 2])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learn(GreedyCD(layer=2), model, toy, torch.optim.SGD(model.parameters(), lr=0.1), 3)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"weights.1", "biases.2", "downward.0"}
