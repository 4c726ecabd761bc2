import itertools

import pytest
import torch

from hwbench.models.rbm import RBM
from hwbench.protocols import TrainSplit
from hwbench.rules.contrastive import ContrastiveDivergence


def all_binary(d):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))


def make(seed=0, visible=5, hidden=4, scale=0.7):
    torch.manual_seed(seed)
    model = RBM(visible, hidden)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, scale)
    return model


def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def exact_gradient(model, x):
    """Of −mean log p(x), by enumeration."""
    every = all_binary(model.visible)
    log_z = (-model.free_energy(every)).logsumexp(0)
    loss = model.free_energy(x).mean() + log_z
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("k", [1, 3])
def test_backward_by_hand_is_the_surrogates_gradient(k, decay, persistent):
    """Same draws, same gradient; two calls add up, and persistent chains move on alike."""
    model = make()
    x = all_binary(5)[::3]
    runs = []
    for by_hand in (False, True):
        rule = ContrastiveDivergence(k=k, weight_decay=decay, persistent=persistent, chains=6)
        torch.manual_seed(3)
        rule.begin(model, TrainSplit(all_binary(5)))
        model.zero_grad()
        for _ in range(2):
            if by_hand:
                loss = rule.backward(model, x)
                assert not loss.requires_grad
            else:
                loss = rule(model, x)
                loss.backward()
        runs.append((gradient(model), loss.detach(), rule.chains))
    for by_autograd, by_hand in zip(*runs, strict=True):
        torch.testing.assert_close(by_hand, by_autograd, atol=1e-6, rtol=1e-5)


def expected_gradient(model, x, k):
    """The exact expectation of the CD-k update, by the Gibbs transition matrix."""
    every = all_binary(model.visible).double()
    h = all_binary(model.weight.shape[1]).double()
    log_p = -model.double().energy(
        every[:, None].expand(-1, len(h), -1), h.expand(len(every), -1, -1)
    )
    step = (log_p.softmax(1) @ log_p.softmax(0).t()).detach()  # p(x' | x) = Σ_h p(h | x) p(x' | h)
    code = (x.double() @ 2.0 ** torch.arange(model.visible - 1, -1, -1).double()).long()
    end = torch.linalg.matrix_power(step, k)[code].mean(0)  # distribution of x⁻
    loss = model.free_energy(x.double()).mean() - end @ model.free_energy(every)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.statistical
@pytest.mark.parametrize("k", [1, 3])
def test_the_mean_update_is_the_expected_one(k):
    """5 standard errors over 1000 independent updates, for each of 29 parameters."""
    model, x = make(), all_binary(5)[[3, 9, 30]]
    rule = ContrastiveDivergence(k=k)
    torch.manual_seed(0)
    draws = []
    for _ in range(1000):
        model.zero_grad()
        rule.backward(model, x)
        draws.append(gradient(model))
    draws = torch.stack(draws).double()
    expected = expected_gradient(model, x, k)
    error = 5 * draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - expected).abs() <= error + 1e-6).all()
    assert error.max() < 0.1  # the test can tell


def test_the_expected_update_tends_to_the_likelihood_gradient():
    """The error of CD-k falls with k, geometrically in the end."""
    model, x = make().double(), all_binary(5)[[3, 9, 30]]
    exact = exact_gradient(model.float(), x).double()
    ks = [1, 3, 10, 30, 100]
    errors = [(expected_gradient(model, x, k) - exact).norm().item() for k in ks]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.05
    assert errors[-1] < 1e-5


class Recorded(RBM):
    """An RBM that keeps what it was asked for: chains in, sweeps and chains out; contrasts."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls, self.contrasts = [], []

    def gibbs(self, x, k):
        out = super().gibbs(x, k)
        self.calls.append((x.clone(), k, out.clone()))
        return out

    def contrast(self, x, negative):
        self.contrasts.append((x.clone(), negative.clone()))
        return super().contrast(x, negative)


def recorded():
    torch.manual_seed(0)
    model = Recorded(5, hidden=4)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
    return model


def test_persistent_chains_go_on_from_step_to_step():
    """The chains of `begin` go in first, then what came out; k sweeps each; that is contrasted."""
    model, x = recorded(), all_binary(5)[::3]
    rule = ContrastiveDivergence(k=4, k_schedule=[[0, 3], [0.5, 4]], persistent=True, chains=20)
    rule.begin(model, TrainSplit(all_binary(5)))
    ends = [rule.chains.clone()]
    for step in range(4):
        rule.advance(step / 4)
        rule.backward(model, x)
        ends.append(rule.chains.clone())
    assert [k for _, k, _ in model.calls] == [3, 3, 4, 4]
    for step, ((before, _, after), (data, negative)) in enumerate(
        zip(model.calls, model.contrasts, strict=True)
    ):
        assert torch.equal(before, ends[step])
        assert torch.equal(after, ends[step + 1])
        assert torch.equal(negative, after)
        assert torch.equal(data, x)
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(ends))  # they do move


@pytest.mark.parametrize("k", [1, 3])
def test_chains_that_do_not_persist_start_at_the_data(k):
    model, x = recorded(), all_binary(5)[::3]
    rule = ContrastiveDivergence(k=k)
    rule.begin(model, TrainSplit(all_binary(5)))
    for _ in range(2):
        rule.backward(model, x)
    for (before, sweeps, after), (_, negative) in zip(model.calls, model.contrasts, strict=True):
        assert torch.equal(before, x)
        assert sweeps == k
        assert torch.equal(negative, after)


@pytest.mark.parametrize("by_hand", [False, True])
def test_weight_decay_is_for_weights_only(by_hand):
    """The same draws with and without: biases' gradients are equal, W's differ by λ W."""
    model, x, strength = make(), all_binary(5)[::3], 0.1
    found = []
    for decay in (0.0, strength):
        rule = ContrastiveDivergence(k=2, weight_decay=decay)
        torch.manual_seed(3)
        model.zero_grad()
        if by_hand:
            rule.backward(model, x)
        else:
            rule(model, x).backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    without, with_decay = found
    assert sorted(without) == ["hidden_bias", "visible_bias", "weight"]
    for name in ("hidden_bias", "visible_bias"):
        assert torch.equal(with_decay[name], without[name])
    difference = with_decay["weight"] - without["weight"]
    torch.testing.assert_close(difference, strength * model.weight.detach(), atol=1e-6, rtol=1e-4)


@pytest.mark.statistical
def test_persistent_chains_learn_the_distribution():
    """PCD comes near the entropy of data that an RBM can represent."""
    teacher = make(seed=2, visible=4, hidden=2, scale=3.0)
    every = all_binary(4)
    p = (-teacher.free_energy(every)).softmax(0).detach()
    torch.manual_seed(0)
    x = every[p.multinomial(20_000, replacement=True)]
    model = RBM(4, hidden=4, init=0.1)
    model.adapt(TrainSplit(x))
    rule = ContrastiveDivergence(k=2, persistent=True, chains=500)
    rule.begin(model, TrainSplit(x))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kl = []
    for step in range(600):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / 600)
        optimizer.zero_grad()
        rule.backward(model, x[torch.randint(len(x), (500,))])
        optimizer.step()
        if step in (0, 599):
            log_q = -model.free_energy(every) - model.log_partition().float()
            kl.append((p * (p.log() - log_q)).sum().item())
    assert kl[1] < 0.2 * kl[0]


def test_the_schedule_raises_k():
    rule = ContrastiveDivergence(k=25, k_schedule=[[0, 1], [0.25, 5], [0.5, 25]])
    seen = []
    for fraction in (0.0, 0.1, 0.25, 0.4999, 0.5, 1.0):
        rule.advance(fraction)
        seen.append(rule.k)
    assert seen == [1, 1, 5, 5, 25, 25]
    constant = ContrastiveDivergence(k=3)
    constant.advance(0.7)
    assert constant.k == 3


@pytest.mark.parametrize(
    "schedule",
    [
        [],
        [[0.1, 1], [0.5, 3]],
        [[0, 1], [0, 3]],
        [[0, 1], [0.5, 2]],
        [[0, 1.5], [0.5, 3]],
        [[0, 3, 1]],
        [[0, 0], [0.5, 3]],
        [[0, 1], [1.5, 3]],
    ],
)
def test_bad_schedules(schedule):
    with pytest.raises(ValueError, match="k_schedule needs pairs"):
        ContrastiveDivergence(k=3, k_schedule=schedule)


@pytest.mark.parametrize("bad", [{"k": 0}, {"chains": 0}, {"weight_decay": -1.0}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match="ContrastiveDivergence: expected"):
        ContrastiveDivergence(**bad)


def test_persistent_needs_begin():
    with pytest.raises(ValueError, match="call begin first"):
        ContrastiveDivergence(persistent=True)(make(), all_binary(5))


def test_chains_survive_a_checkpoint():
    model, train = make(), TrainSplit(all_binary(5))
    rule = ContrastiveDivergence(persistent=True, chains=7)
    rule.begin(model, train)
    rule.backward(model, all_binary(5))
    again = ContrastiveDivergence(persistent=True, chains=7)
    again.begin(model, train)
    again.load_state_dict(rule.state_dict())
    assert torch.equal(again.chains, rule.chains)
