"""Contrastive wake-sleep against autograd on the formulas, enumeration and exact likelihoods."""

import itertools

import pytest
import torch

from hwbench.models.dbn import DBN, UntiedDBN
from hwbench.protocols import TrainSplit
from hwbench.rules.pretraining import GreedyCD
from hwbench.rules.updown import UpDown

PATTERNS = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])


def log_bernoulli(h, logits):
    """Σ_j log σ((2 h_j − 1) a_j), written out."""
    return -torch.log1p(torch.exp((1 - 2 * h) * logits)).sum(-1)


def log_p(model, x, h, top):
    """log p*(x, h_1, …, h_L), every layer given, from the parameters alone."""
    states = [x, *h]
    last = len(model.layers) - 1
    total = (states[last] @ model.weights[last] * top).sum(-1)
    total = total + states[last] @ model.downward[last] + top @ model.upward[last]
    for layer in range(last):
        weight = model.weights[layer].detach() + model.down_offsets[layer]
        logits = states[layer + 1] @ weight.t() + model.downward[layer]
        total = total + log_bernoulli(states[layer], logits)
    return total


def log_q(model, x, h):
    total, below = 0.0, x
    for layer, above in enumerate(h):
        weight = model.weights[layer].detach() + model.up_offsets[layer]
        total = total + log_bernoulli(above, below @ weight + model.upward[layer])
        below = above
    return total


def gradient_of(value, parameters):
    """Return the gradient as one vector, zero where there is none."""
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def moved(model):
    """The parameters that fine-tuning moves: not W_l below the top, which offsets stand beside."""
    below = {id(w) for w in list(model.weights)[:-1]}
    return [p for p in model.parameters() if id(p) not in below]


@pytest.mark.parametrize("layers", [[4, 3], [3, 4, 2]])
def test_the_gradients_at_given_states_are_those_of_the_formulas(
    layers, random_dbn, all_binary, monkeypatch
):
    """Wake ∇ log p(x, h), top ∇[log p*(h⁺) − log p*(h⁻)] with h_L summed out, sleep ∇ log q."""
    model = random_dbn(UntiedDBN, 5, layers)
    torch.manual_seed(0)
    x, dream = (torch.rand(6, 5).double().round() for _ in range(2))
    h, h_dream = ([torch.rand(6, n).double().round() for n in layers[:-1]] for _ in range(2))
    monkeypatch.setattr(model, "infer", lambda x, k: ([v[None] for v in h], None))
    monkeypatch.setattr(model, "descend", lambda top: (dream, h_dream))
    rule = UpDown(k=1)
    monkeypatch.setattr(rule, "_negative", lambda top, positive: h_dream[-1])
    rule.backward(model, x)

    tops = all_binary(layers[-1])[:, None]
    wake = log_p(model, x, h, tops).logsumexp(0).mean()  # log p(x, h) + log Z: h_L summed out
    below = log_p(model, dream, h_dream, tops).logsumexp(0).mean()
    parameters = moved(model)
    in_top = {id(model.weights[-1]), id(model.downward[-1]), id(model.upward[-1])}
    mask = torch.cat(
        [torch.full((p.numel(),), float(id(p) in in_top)).double() for p in parameters]
    )
    expected = gradient_of(wake, parameters) - mask * gradient_of(below, parameters)
    expected = expected + gradient_of(log_q(model, dream, h_dream).mean(), parameters)
    found = torch.cat([p.grad.flatten() for p in parameters])
    torch.testing.assert_close(found, -expected)


@pytest.mark.statistical
def test_its_mean_is_the_gradient_of_wake_sleep(random_dbn, exact_dbn, all_binary):
    """With chains at equilibrium: ∇_θ E_q[log p(x, h)] and ∇_φ E_p[log q(h | x)], enumerated."""
    model = random_dbn(UntiedDBN, 4, [3, 2])
    xs = all_binary(4)[[1, 6, 11, 12]]
    top, hs = model.pair(2), all_binary(3)
    prior = (-top.free_energy(hs)).softmax(0).detach()
    parameters = moved(model)
    # every (x, h): 16 × 8
    pairs = list(itertools.product(all_binary(4), hs))
    x_all, h_all = (torch.stack(v) for v in zip(*pairs, strict=True))
    log_px_h = model.log_directed(x_all, [h_all[None]])[0].detach()
    p = log_px_h.exp() * prior.repeat(16)
    assert p.sum().item() == pytest.approx(1.0)
    sleep = (p * log_q(model, x_all, [h_all])).sum()
    q_x, q_h = (torch.stack(v) for v in zip(*itertools.product(xs, hs), strict=True))
    q = log_q(model, q_x, [q_h]).exp().detach() / len(xs)
    tops = all_binary(2)[:, None]
    log_z = (-top.free_energy(hs)).logsumexp(0)  # with its gradient
    assert log_z.item() == pytest.approx(exact_dbn(model)[1].item())
    wake = (q * (log_p(model, q_x, [q_h], tops).logsumexp(0) - log_z)).sum()
    expected = gradient_of(wake + sleep, parameters)

    rule = UpDown(k=3, persistent=True, chains=2000)
    torch.manual_seed(0)
    rule.begin(model, TrainSplit(xs))
    rule.chains = hs[prior.multinomial(2000, replacement=True)]
    batch = xs.repeat(100, 1)
    found = []
    for _ in range(200):
        model.zero_grad()
        rule.backward(model, batch)
        found.append(torch.cat([p.grad.flatten() for p in parameters]))
    batches = -torch.stack(found).view(20, 10, -1).mean(1)  # batch means: chains remember
    z = (batches.mean(0) - expected) / (batches.std(0) / 20**0.5)
    assert z.abs().max() < 5


@pytest.mark.parametrize("persistent", [False, True])
def test_the_top_has_its_sweeps_from_the_data_or_goes_on_from_the_last(persistent, monkeypatch):
    torch.manual_seed(0)
    model, calls = DBN(6, layers=[4, 3]), []
    top, positive = model.pair(2), torch.rand(10, 4).round()
    gibbs = top.gibbs

    def watched(x, k):
        calls.append((x, k, gibbs(x, k)))
        return calls[-1][2]

    monkeypatch.setattr(top, "gibbs", watched)
    rule = UpDown(k=3, persistent=persistent, chains=7)
    rule.begin(model, TrainSplit(torch.rand(5, 6).round()))
    start = rule.chains
    found = [rule._negative(top, positive) for _ in range(2)]
    assert [k for _, k, _ in calls] == [3, 3]
    assert all(negative is after for negative, (_, _, after) in zip(found, calls, strict=True))
    starts = (start, found[0]) if persistent else (positive, positive)
    assert all(x is begun for (x, _, _), begun in zip(calls, starts, strict=True))


def learn(rule, model, train, rate, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.8)
    rule.begin(model, train)
    for step in range(steps):
        rule.advance(step / steps)
        optimizer.zero_grad()
        rule.backward(model, train.batch(torch.randint(len(train), (100,))))
        optimizer.step()


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.usefixtures("unchecked")
def test_it_raises_the_exact_log_likelihood_beyond_greedy_learning(persistent, exact_dbn):
    """Three noisy patterns, six units; the base weights stay, both directions move apart."""
    draws = torch.Generator().manual_seed(0)
    x = PATTERNS[torch.randint(3, (300,), generator=draws)]
    train = TrainSplit((x - (torch.rand(x.shape, generator=draws) < 0.05).float()).abs())
    code = (train.values.double() @ 2.0 ** torch.arange(5, -1, -1).double()).long()
    torch.manual_seed(0)
    model = UntiedDBN(6, layers=[4, 3], init=0.1)
    model.adapt(train)
    for layer in (1, 2):
        learn(GreedyCD(layer=layer), model, train, 0.1, 60)
    before = exact_dbn(model.double())[0][code].mean()
    base = [w.detach().clone() for w in model.weights]
    learn(UpDown(k=2, persistent=persistent, chains=100), model.float(), train, 0.05, 200)
    after = exact_dbn(model.double())[0][code].mean()
    assert after > before + 0.3
    assert torch.equal(model.weights[0], base[0])
    assert not torch.equal(model.weights[1], base[1])
    assert not torch.equal(model.up_offsets[0], model.down_offsets[0])


def test_grey_pixels_are_drawn_afresh(monkeypatch):
    torch.manual_seed(0)
    model, seen = DBN(6, layers=[4, 3]), []
    infer = model.infer
    monkeypatch.setattr(model, "infer", lambda x, k: seen.append(x) or infer(x, k))
    for _ in range(2):
        UpDown().backward(model, torch.full((100, 6), 0.3))
    assert all(((x == 0) | (x == 1)).all() for x in seen)
    assert not torch.equal(*seen)
    assert seen[0].mean().item() == pytest.approx(0.3, abs=0.1)


def test_the_schedule_sets_the_sweeps(monkeypatch):
    """3, 6 and 10 sweeps in the three thirds of training, as in the paper."""
    rule = UpDown(k=10, k_schedule=[[0, 3], [0.33, 6], [0.66, 10]])
    found = []
    for fraction in (0.0, 0.3, 0.4, 0.7):
        rule.advance(fraction)
        found.append(rule.sweeps.k)
    assert found == [3, 3, 6, 10]


def test_bad_input():
    with pytest.raises(ValueError, match=r"one layer is an RBM .* found layers = \[3\]"):
        UpDown().check(DBN(4, layers=[3]))
    with pytest.raises(ValueError, match="call begin first"):
        UpDown(persistent=True).backward(DBN(4, layers=[3, 2]), torch.zeros(2, 4))
