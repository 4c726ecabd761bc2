"""Reweighted wake-sleep against enumeration, delta rules by hand, and toys of known posterior."""

import inspect
import itertools
import math

import pytest
import torch

from hwbench.evaluators.exact import all_binary, exact_log_prob
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.nade import NADE
from hwbench.protocols import Inferred
from hwbench.rules.likelihood import MaximumLikelihood
from hwbench.rules.reweighted import ReweightedWakeSleep

SIGMA = 5.0  # statistical tests: standard errors allowed


def randomised(model, scale=1.0, seed=7):
    """Give every parameter a value of its own, so that no test passes by symmetry."""
    torch.manual_seed(seed)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale)
    return model


def gradient(loss, module):
    found = torch.autograd.grad(
        loss, list(module.parameters()), retain_graph=True, allow_unused=True
    )
    pairs = zip(module.parameters(), found, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


def assert_mean(samples, expected):
    """The mean over the first dimension lies within SIGMA standard errors of what is expected."""
    se = samples.std(0) / math.sqrt(len(samples))
    assert ((samples.mean(0) - expected).abs() <= SIGMA * se + 1e-12).all()


class Enumerated:
    """All latents of a small net at one x, with what the rule's expectation needs."""

    def __init__(self, model, x):
        bits = sum(model.layers)
        h = [layer[:, None] for layer in all_binary(bits).double().split(model.layers, dim=1)]
        log_p, log_q = model.log_joint(x, h)[:, 0], model.log_q(h, x)[:, 0]
        self.grad_p = torch.stack([gradient(v, model.generative) for v in log_p])
        self.grad_q = torch.stack([gradient(v, model.recognition) for v in log_q])
        self.grad_log_px = gradient(log_p.logsumexp(0), model.generative)
        self.log_p, self.log_q = log_p.detach(), log_q.detach()
        self.q, self.w = self.log_q.exp(), (self.log_p - self.log_q).exp()
        self.posterior = self.log_p.softmax(0)

    def expected(self, k):
        """E[Σ_k w_k ∇ log p] and of log q over k samples: a sum over how often each h is drawn."""
        n = torch.tensor(list(compositions(k, len(self.q)))).double()  # [ways, configurations]
        log_multinomial = math.lgamma(k + 1) - torch.lgamma(n + 1).sum(1)
        probability = (log_multinomial + n @ self.q.log()).exp()
        weight = n * self.w / (n @ self.w)[:, None]
        mean_weight = probability @ weight
        return mean_weight @ self.grad_p, mean_weight @ self.grad_q


def compositions(total, parts):
    for bars in itertools.combinations(range(total + parts - 1), parts - 1):
        ends = (-1, *bars, total + parts - 1)
        yield [b - a - 1 for a, b in itertools.pairwise(ends)]


def one_layer(kind="sbn", q="sbn"):
    return randomised(BinaryHelmholtzMachine(3, [2], kind, q))


@pytest.mark.statistical
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("net", [("sbn", "sbn"), ("ar-sbn", "nade"), ("dsbn", "sbn")], ids=str)
def test_the_mean_gradient_is_the_exact_expectation(net, k):
    """θ and φ, wake phase, each coordinate within 5 standard errors over 6000 points."""
    model, rule = one_layer(*net), ReweightedWakeSleep(k=k, sleep=False)
    x = torch.tensor([[1.0, 0.0, 1.0]]).double()
    exact_p, exact_q = Enumerated(model, x).expected(k)
    torch.manual_seed(0)
    copies = x.expand(100, 3)  # the gradient of a batch is the mean over its independent points
    g = torch.stack([-gradient(rule(model, copies), model) for _ in range(60)])
    assert_mean(g, torch.cat([exact_p, exact_q]))


@pytest.mark.parametrize("kind", ["sbn", "ar-sbn", "nade", "dsbn"])
@pytest.mark.parametrize("layers", [[3], [2, 2]], ids=str)
def test_the_limit_of_the_wake_gradient_is_that_of_the_likelihood(kind, layers):
    """Σ_h p(h | x) ∇ log p(x, h), all that RWS tends to, against finite differences of log p(x)."""
    model = randomised(BinaryHelmholtzMachine(3, layers, kind), scale=0.7)
    x, step = torch.tensor([[1.0, 0.0, 1.0]]).double(), 1e-5
    limit = Enumerated(model, x)
    differences = []
    for p in model.generative.parameters():
        for i in range(p.numel()):
            value = p.data.view(-1)[i].item()
            ends = []
            for end in (value + step, value - step):
                p.data.view(-1)[i] = end
                ends.append(exact_log_prob(model, x, layers).item())
            p.data.view(-1)[i] = value
            differences.append((ends[0] - ends[1]) / (2 * step))
    expected = torch.tensor(differences).double()
    torch.testing.assert_close(limit.posterior @ limit.grad_p, expected, atol=1e-8, rtol=1e-6)
    assert (expected.abs() > 1e-6).sum() > 0.5 * len(expected)


def test_bias_falls_like_one_over_k():
    """K (E g_K − E_p(h|x)[∇]) → −Σ_h q w² (∇ − E_p(h|x)[∇]), the error halving with 1/K; all exact.

    E_p(h|x)[∇ log p(x, h)] is ∇ log p(x); E_p(h|x)[∇ log q(h | x)] descends KL(p ‖ q).
    """
    model = randomised(BinaryHelmholtzMachine(3, [2]), scale=0.3)
    e = Enumerated(model, torch.tensor([[1.0, 0.0, 1.0]]).double())
    w = e.posterior / e.q
    torch.testing.assert_close(e.posterior @ e.grad_p, e.grad_log_px)
    ks = [1, 2, 4, 8, 16, 32, 64]
    expected = [e.expected(k) for k in ks]
    for net, gradients in enumerate((e.grad_p, e.grad_q)):
        truth = e.posterior @ gradients
        bias = [value[net] - truth for value in expected]
        assert all(b.norm() < a.norm() for a, b in itertools.pairwise(bias))
        limit = -(e.q * w.square()) @ (gradients - truth)
        off = [float((k * b - limit).norm() / limit.norm()) for k, b in zip(ks, bias, strict=True)]
        assert off[-1] < 0.1
        assert 0.4 < off[-1] / off[-2] < 0.6


def test_k_1_wake_q_update_is_zero_in_expectation():
    """At K = 1 only the sleep update carries signal for q."""
    enumerated = Enumerated(one_layer(), torch.tensor([[1.0, 0.0, 1.0]]).double())
    assert enumerated.expected(1)[1].norm() < 1e-12


@pytest.mark.statistical
def test_sleep_gradient_is_its_expectation_over_dreams():
    """E_p[∇_φ log q(h | x)] by enumeration, within 5 standard errors over 6000 dreams."""
    model, rule = one_layer(), ReweightedWakeSleep(k=1, wake=False)
    exact = 0.0
    for x in all_binary(3).double():
        e = Enumerated(model, x[None])
        exact = exact + e.log_p.exp() @ e.grad_q
    torch.manual_seed(0)
    x = torch.ones(100, 3).double()
    g = torch.stack([-gradient(rule(model, x), model.recognition) for _ in range(60)])
    assert_mean(g, exact)


def fixed_draw(model, h):
    """Let `infer` return these latents."""
    model.infer = lambda x, k, pathwise=False: Inferred(h, model.log_q(h, x))
    return model


def test_weights_are_normalised_per_datum_and_not_over_the_batch():
    """The gradient on a batch is the mean of those on its points, one far likelier."""
    model = randomised(BinaryHelmholtzMachine(3, [2]), scale=2.0)
    torch.manual_seed(0)
    x = torch.tensor([[1.0, 1, 0], [0, 0, 1]]).double()
    h = [torch.bernoulli(torch.full((4, 2, 2), 0.5)).double()]
    rule = ReweightedWakeSleep(k=4, sleep=False)
    log_w = (model.log_joint(x, h) - model.log_q(h, x)).detach()
    whole = gradient(rule(fixed_draw(model, h), x), model)
    parts = [
        gradient(rule(fixed_draw(model, [h[0][:, i : i + 1]]), x[i : i + 1]), model) for i in (0, 1)
    ]
    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2)

    def by_hand(w):
        return gradient(-(w * (model.log_joint(x, h) + model.log_q(h, x))).sum() / 2, model)

    torch.testing.assert_close(whole, by_hand(log_w.softmax(0)))
    over_batch = 2 * log_w.flatten().softmax(0).view_as(
        log_w
    )  # the mistake, which this net can tell
    assert (whole - by_hand(over_batch)).norm() > 0.1 * whole.norm()


def test_the_value_is_the_k_sample_bound():
    model, x = one_layer(), torch.ones(2, 3).double()
    for reduction in ("mean", "sum"):
        rule = ReweightedWakeSleep(k=3, sleep_interleave=2, reduction=reduction)
        torch.manual_seed(0)
        loss = rule(model, x)
        torch.manual_seed(0)
        h, log_q = model.infer(x, 3)
        bound = (model.log_joint(x, h) - log_q).logsumexp(0) - math.log(3)
        assert loss.item() == pytest.approx(-bound.mean().item())


@pytest.mark.parametrize("flags", [(True, False), (False, True), (True, True)])
def test_variants_update_what_they_name(flags):
    """The gradient of φ is the wake part, the sleep part, or their sum; that of θ is the same."""
    wake, sleep = flags
    model, x = one_layer(), torch.ones(5, 3).double()

    def parts(**options):
        torch.manual_seed(0)
        loss = ReweightedWakeSleep(k=3, **options)(model, x)
        return gradient(loss, model.generative), gradient(loss, model.recognition)

    theta, phi = parts(wake=wake, sleep=sleep)
    torch.manual_seed(0)
    h, log_q = model.infer(x, 3)
    w = (model.log_joint(x, h) - log_q).detach().softmax(0)
    x_dream, h_dream = model.dream(5)
    expected = -(w * log_q).sum(0).mean() * wake - model.log_q(h_dream, x_dream).mean() * sleep
    torch.testing.assert_close(phi, gradient(expected, model.recognition))
    torch.testing.assert_close(
        theta, gradient(-(w * model.log_joint(x, h)).sum(0).mean(), model.generative)
    )


def test_a_sum_is_batch_times_the_mean():
    model, x = one_layer(), torch.ones(5, 3).double()
    g = []
    for reduction in ("mean", "sum"):
        torch.manual_seed(0)
        g.append(gradient(ReweightedWakeSleep(k=3, reduction=reduction)(model, x), model))
    torch.testing.assert_close(5 * g[0], g[1])


def test_sleep_comes_every_other_step_with_the_dreams_of_both():
    """Authors' code: every 2nd step 2 B dreams, whose summed gradient is that of 2 B terms."""
    model, x = one_layer(), torch.ones(5, 3).double()
    asked = []
    dream = model.dream
    model.dream = lambda n: asked.append(n) or dream(n)
    rule = ReweightedWakeSleep(k=1, wake=False, sleep_interleave=2, reduction="sum")
    for step in range(4):
        torch.manual_seed(step)
        loss = rule(model, x)
        if step % 2 == 0:
            assert gradient(loss, model.recognition).norm() == 0
        else:
            torch.manual_seed(step)
            model.infer(x, 1)
            x_dream, h_dream = dream(10)
            expected = gradient(-model.log_q(h_dream, x_dream).sum(), model.recognition)
            torch.testing.assert_close(gradient(loss, model.recognition), expected)
    assert asked == [10, 10]
    resumed = ReweightedWakeSleep(k=1, wake=False, sleep_interleave=2)
    resumed.load_state_dict(rule.state_dict())
    assert int(resumed.steps) == 4


@pytest.mark.parametrize("interleave", [1, 2])
def test_more_dreams_do_not_weigh_more(interleave):
    """50 dreams weigh as many as they stand for: one for each point since the last sleep."""
    model, x = one_layer(), torch.ones(5, 3).double()
    rule = ReweightedWakeSleep(
        k=1, wake=False, sleep_interleave=interleave, dreams=50, reduction="sum"
    )
    for _ in range(interleave - 1):
        rule(model, x)
    torch.manual_seed(0)
    g = gradient(rule(model, x), model.recognition)
    torch.manual_seed(0)
    model.infer(x, 1)
    x_dream, h_dream = model.dream(50)
    weight = interleave * 5 / 50
    expected = gradient(-model.log_q(h_dream, x_dream).sum() * weight, model.recognition)
    torch.testing.assert_close(g, expected)


def test_a_q_that_would_never_learn_is_refused():
    with pytest.raises(ValueError, match="never learn"):
        ReweightedWakeSleep(wake=False, sleep=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, r"k must be at least 1 \(found 0\)"),
        ({"k": -1}, r"k must be at least 1 \(found -1\)"),
        ({"sleep_interleave": 0}, r"sleep_interleave must be at least 1 \(found 0\)"),
        ({"dreams": 0}, r"dreams must be at least 1 \(found 0\)"),
        ({"reduction": "foo"}, r"reduction must be mean or sum \(found 'foo'\)"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(wrong, message):
    rule = ReweightedWakeSleep.__new__(ReweightedWakeSleep)
    start = inspect.unwrap(ReweightedWakeSleep.__init__)  # without the type checks of the tests
    with pytest.raises(ValueError, match=f"^ReweightedWakeSleep: {message}$"):
        start(rule, **wrong)


class DeltaRules:
    """Classical wake-sleep (Hinton et al., 1995) by its local delta rules, without autograd.

    Wake: h ~ q(h | x), ΔW = η (below − σ(W above + b)) aboveᵀ in p. Sleep: x, h ~ p, the same in q.
    """

    def __init__(self, model, lr):
        self.model, self.lr = model, lr
        names = ("generative", "recognition")
        self.p, self.q = ([self.copy(layer) for layer in getattr(model, net)] for net in names)

    @staticmethod
    def copy(layer):
        weight = layer.affine.weight
        return [
            None if weight is None else weight.detach().clone(),
            layer.affine.bias.detach().clone(),
        ]

    @staticmethod
    def mean(layer, given):
        weight, bias = layer
        return (bias if weight is None else given @ weight.T + bias).sigmoid()

    def draw(self, layer, given, shape=()):
        mean = self.mean(layer, given)
        return (torch.rand((*shape, *mean.shape), dtype=mean.dtype) < mean).double()

    def learn(self, layer, target, given):
        error = target - self.mean(layer, given)
        if layer[0] is not None:
            layer[0] += self.lr * error.T @ given / len(target)
        layer[1] += self.lr * error.mean(0)

    def step(self, x):
        up = [x, self.draw(self.q[0], x, (1,))[0]]
        for layer in self.q[1:]:
            up.append(self.draw(layer, up[-1]))
        down = [self.draw(self.p[-1], None, (len(x),))]
        for layer in reversed(self.p[:-1]):
            down.insert(0, self.draw(layer, down[0]))
        for layer, below, above in zip(self.p, up, [*up[1:], None], strict=True):
            self.learn(layer, below, above)
        for layer, (below, above) in zip(self.q, itertools.pairwise(down), strict=True):
            self.learn(layer, above, below)


def test_k_1_without_wake_q_is_classical_wake_sleep():
    """The same parameters along 100 steps, from the same random numbers, to 1e-6."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(6, [5, 3], init="glorot").double()
    classical = DeltaRules(model, lr=0.2)
    rule = ReweightedWakeSleep(k=1, wake=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    data = torch.bernoulli(torch.linspace(0.1, 0.9, 6).expand(40, 6)).double()
    start = [p.detach().clone() for p in model.parameters()]
    for step in range(100):
        x = data[torch.arange(8) + 8 * (step % 5)]
        torch.manual_seed(step)
        optimizer.zero_grad()
        rule.backward(model, x)
        optimizer.step()
        torch.manual_seed(step)
        classical.step(x)
    for net, by_hand in (("generative", classical.p), ("recognition", classical.q)):
        for layer, expected in zip(getattr(model, net), by_hand, strict=True):
            for value, other in zip(DeltaRules.copy(layer), expected, strict=True):
                if other is not None:
                    torch.testing.assert_close(value, other, rtol=0, atol=1e-6)
    assert min((p - s).norm() for p, s in zip(model.parameters(), start, strict=True)) > 1e-2


def posterior_gap(model):
    """E_p(x) KL(p(h | x) ‖ q(h | x)), exact."""
    total = 0.0
    for x in all_binary(model.visible).double():
        e = Enumerated(model, x[None])
        log_px = e.log_p.logsumexp(0)
        total += float((e.log_p.exp() * (e.log_p - log_px - e.log_q)).sum())
    return total


@pytest.mark.usefixtures("unchecked")
def test_wake_sleep_moves_to_the_exact_posterior():
    """One latent: its posterior is logistic in x, so that q can be exact; p stays as it is."""
    model = randomised(BinaryHelmholtzMachine(4, [1]), scale=1.5)
    rule = ReweightedWakeSleep(k=1, wake=False, dreams=2000)
    before = posterior_gap(model)
    torch.manual_seed(0)
    x = torch.zeros(1, 4).double()
    optimizer = torch.optim.Adam(model.recognition.parameters(), lr=0.2)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        optimizer.zero_grad()
        rule.backward(model, x)
        optimizer.step()
    assert before > 0.1
    assert posterior_gap(model) < 1e-3


def either_cause():
    """x is on if one of two rare causes is: given x = 1 the posterior has the modes 10 and 01."""
    model = BinaryHelmholtzMachine(1, [2]).double()
    p, top, q = model.generative[0].affine, model.generative[1].affine, model.recognition[0].affine
    with torch.no_grad():
        top.bias.fill_(-5.0)
        p.weight.fill_(14.0)
        p.bias.fill_(-9.0)
        q.weight.zero_()
        q.bias.copy_(torch.tensor([0.1, -0.1]))  # neither mode, but not exactly between them
    return model


def q_given_1(model):
    q = model.recognition[0].affine
    return (q.weight[:, 0] + q.bias).sigmoid().tolist()


@pytest.mark.usefixtures("unchecked")
def test_reweighted_q_covers_both_modes_where_an_elbo_locks_on_one():
    """RWS follows KL(p ‖ q), the ELBO KL(q ‖ p): they differ for a factorised q and two modes."""
    reweighted, variational = either_cause(), either_cause()
    x = torch.ones(1, 1).double()
    e = Enumerated(reweighted, x)
    _, first, second, _ = e.posterior.tolist()  # of 00, 01, 10, 11
    assert first == pytest.approx(second)
    assert first + second > 0.95

    torch.manual_seed(0)
    rule = ReweightedWakeSleep(k=20, wake=True, sleep=True)
    optimizer = torch.optim.Adam(reweighted.recognition.parameters(), lr=0.05)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 120)
        optimizer.zero_grad()
        rule.backward(reweighted, x.expand(20, 1))
        optimizer.step()
    assert q_given_1(reweighted) == pytest.approx([0.5, 0.5], abs=0.1)

    optimizer = torch.optim.Adam(variational.recognition.parameters(), lr=0.2)
    h = [all_binary(2).double()[:, None]]
    for _ in range(60):
        optimizer.zero_grad()
        log_q = variational.log_q(h, x)
        elbo = (log_q.exp() * (variational.log_joint(x, h) - log_q)).sum()  # exact, by enumeration
        (-elbo).backward()
        optimizer.step()
    high, low = q_given_1(variational)
    assert high > 0.9
    assert low < 0.1


@pytest.mark.parametrize(
    "nets",
    [("sbn", "sbn"), ("nade", "ar-sbn"), ("ar-sbn", "nade"), ("sbn", "dsbn"), ("dsbn", "sbn")],
)
@pytest.mark.usefixtures("unchecked")
def test_training_raises_the_exact_likelihood(nets):
    """Two images, judged by enumeration: −log 2 is the best, −log 16 that of independent pixels."""
    data = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(4, [3, 2], *nets, init="glorot", bias=0.0)
    rule, optimizer = ReweightedWakeSleep(k=5), torch.optim.Adam(model.parameters(), lr=0.08)
    for _ in range(100):
        optimizer.zero_grad()
        rule.backward(model, data.repeat(10, 1))
        optimizer.step()
    assert exact_log_prob(model, data, [3, 2]).mean().item() > -1.7


def test_maximum_likelihood_fits_a_density():
    torch.manual_seed(0)
    data = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    model, rule = NADE(4, hidden=5), MaximumLikelihood()
    assert rule.trains().__name__ == "Density"
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = rule.backward(model, data)
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(2), abs=0.02)
