"""Deep Boltzmann machines against enumeration."""

import itertools

import pytest
import torch

from hwbench.models import dbm
from hwbench.models.dbm import DBM

SHAPES = [(5, (4, 3)), (4, (3, 4, 2)), (3, (3, 2, 3, 2))]
shapes = pytest.mark.parametrize(("visible", "layers"), SHAPES)


def conditional_means(exact, sizes, layer):
    """Return the exact means of a layer given all others, for every joint state."""
    log_p = exact.log_joint.flatten().view([2**n for n in sizes])
    log_p = log_p - log_p.logsumexp(layer, keepdim=True)
    units = torch.tensor(list(itertools.product([0.0, 1.0], repeat=sizes[layer]))).double()
    means = torch.tensordot(log_p.exp().movedim(layer, -1), units, 1)
    return means.movedim(-1, 0).unsqueeze(layer + 1).expand(-1, *log_p.shape).flatten(1).t()


@shapes
def test_inputs_are_the_log_odds_of_the_joint(visible, layers, random_dbm, enumerated):
    model = random_dbm(0, visible, layers)
    exact = enumerated(model)
    for layer, logits in enumerate(model.inputs(exact.states), 1):
        expected = conditional_means(exact, [visible, *layers], layer)
        torch.testing.assert_close(logits.sigmoid(), expected)


@shapes
def test_couplings_are_those_of_an_rbm_of_even_and_odd_layers(
    visible, layers, random_dbm, enumerated
):
    model = random_dbm(1, visible, layers)
    weight, b, c = model.couplings()
    exact = enumerated(model)
    even, odd = torch.cat(exact.states[::2], 1), torch.cat(exact.states[1::2], 1)
    minus_energy = even @ b + odd @ c + ((even @ weight) * odd).sum(1)
    torch.testing.assert_close(-model.energy(exact.states), minus_energy)


@shapes
def test_sequential_sweeps_raise_the_bound_to_a_fixed_point(
    visible, layers, random_dbm, all_binary
):
    """No sweep lowers it, at any point, and in the end every unit is at σ of its input."""
    gains = []
    for seed in range(3):
        model, x = random_dbm(seed, visible, layers, scale=1.5), all_binary(visible)
        bounds = torch.stack([model.bound(x, model.mean_field(x, k)) for k in range(1, 30)])
        assert (bounds.diff(dim=0) > -1e-10).all()
        gains.append((bounds[-1] - bounds[0]).max())
        means = model.mean_field(x, 3000, tolerance=1e-12)
        for m, logits in zip(means, model.inputs([x, *means]), strict=True):
            torch.testing.assert_close(m, logits.sigmoid(), atol=1e-9, rtol=0)
    assert max(gains) > 0.005  # the start was not yet there


@shapes
def test_the_bound_is_below_the_log_likelihood(visible, layers, random_dbm, enumerated, all_binary):
    """For means of mean field and for any others, by KL(q ‖ p(h | x))."""
    model, x = random_dbm(3, visible, layers), all_binary(visible)
    exact = enumerated(model)
    log_p = exact.log_joint - exact.log_px[:, None]
    hidden = torch.cat(exact.states[1:], 1)[: log_p.shape[1]]
    for means in (model.mean_field(x, 50), [torch.rand(len(x), n).double() for n in layers]):
        gap = exact.log_px + exact.log_z - model.bound(x, means)
        q = torch.cat(means, 1)[:, None]
        log_q = torch.where(hidden == 1, q, 1 - q).log().sum(2)
        kl = (log_q.exp() * (log_q - log_p)).sum(1)
        torch.testing.assert_close(gap, kl)
        assert (gap > 0).all()


def test_the_bound_is_tight_where_the_posterior_factorises(random_dbm, enumerated, all_binary):
    """Without couplings between hidden layers q is the posterior."""
    model, x = random_dbm(4), all_binary(5)
    with torch.no_grad():
        model.weights[1].zero_()
    exact = enumerated(model)
    bound = model.bound(x, model.mean_field(x, 1))
    torch.testing.assert_close(bound - exact.log_z, exact.log_px)


def test_units_that_are_certain_have_no_entropy(random_dbm, all_binary):
    model, x = random_dbm(0), all_binary(5)
    means = [torch.zeros(32, 4).double(), torch.ones(32, 3).double()]
    torch.testing.assert_close(model.bound(x, means), -model.energy([x, *means]))


@shapes
@pytest.mark.parametrize("damping", [None, 0.0, 0.3])
def test_each_sweep_is_what_it_says(visible, layers, damping, random_dbm):
    """From one pass upwards with doubled inputs: odd layers, then even ones, or all at once."""
    model = random_dbm(2, visible, layers, scale=1.5)
    states = [torch.rand(9, visible).double()]
    for weight, bias in zip(model.weights, model._totals()[1:], strict=True):
        doubled = 1 if len(states) == len(layers) else 2
        states.append((doubled * (states[-1] @ weight) + bias).sigmoid())
    for sweep in range(1, 4):
        if damping is None:
            for first in (1, 2):
                inputs = model.inputs(states)
                for layer in range(first, len(states), 2):
                    states[layer] = inputs[layer - 1].sigmoid()
        else:
            new = [logits.sigmoid() for logits in model.inputs(states)]
            states[1:] = [
                damping * m + (1 - damping) * n for m, n in zip(states[1:], new, strict=True)
            ]
        found = model.mean_field(states[0], sweep, damping=damping)
        torch.testing.assert_close(found, [m.detach() for m in states[1:]])


@shapes
def test_damped_parallel_sweeps_reach_a_fixed_point_too(visible, layers, random_dbm, all_binary):
    model, x = random_dbm(5, visible, layers, scale=0.5), all_binary(visible)
    sequential = model.mean_field(x, 500)
    for a, b in zip(model.mean_field(x, 500, damping=0.5), sequential, strict=True):
        torch.testing.assert_close(a, b)


def test_tolerance_stops_early_and_changes_little(random_dbm, all_binary, monkeypatch):
    model, x = random_dbm(6), all_binary(5)
    calls = []
    inner = dbm._input
    monkeypatch.setattr(dbm, "_input", lambda *a: calls.append(1) or inner(*a))
    stopped = model.mean_field(x, 10_000, tolerance=1e-7)
    assert len(calls) < 200
    for a, b in zip(stopped, model.mean_field(x, 500), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_contrast_adds_the_gradient_of_the_energies(random_dbm):
    model = random_dbm(7, 4, (3, 4, 2))
    torch.manual_seed(0)
    positive, negative = ([torch.rand(n, d).double() for d in (4, 3, 4, 2)] for n in (7, 3))
    difference = model.energy(positive).mean() - model.energy(negative).mean()
    reached = [*model.weights, *model.biases]
    expected = torch.autograd.grad(difference, reached)
    for _ in range(2):  # the second call must add
        value = model.contrast(positive, negative)
        torch.testing.assert_close(value, difference.detach())
    for p, gradient in zip(reached, expected, strict=True):
        torch.testing.assert_close(p.grad, 2 * gradient)


@shapes
def test_gradient_of_the_log_likelihood_bound_by_finite_differences(
    visible, layers, random_dbm, enumerated, all_binary
):
    """∇ [bound − log Z] at converged means is E_model[∇E] − ∇E(x, μ) with μ held fixed."""
    model, x = random_dbm(8, visible, layers, scale=0.5), all_binary(visible)
    every = enumerated(model)
    p = every.log_joint.exp().flatten()
    means = model.mean_field(x, 500, tolerance=1e-11)
    minus = model.energy([x, *means]).mean() - p.detach() @ model.energy(every.states)
    analytic = torch.autograd.grad(minus, [*model.weights, *model.biases])

    def value():
        bound = model.bound(x, model.mean_field(x, 500, tolerance=1e-11))
        return (bound.mean() - enumerated(model).log_z).item()

    for parameter, gradient in zip([*model.weights, *model.biases], analytic, strict=True):
        flat, i = parameter.data.flatten(), parameter.numel() // 2
        step = torch.zeros_like(flat)
        step[i] = 1e-4
        ends = []
        for sign in (1, -1):
            parameter.data.add_(sign * step.view_as(parameter))
            ends.append(value())
            parameter.data.sub_(sign * step.view_as(parameter))
        assert -gradient.flatten()[i].item() == pytest.approx(
            (ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-8
        )


@pytest.mark.statistical
@shapes
def test_a_sweep_leaves_the_distribution_as_it_is(visible, layers, random_dbm, enumerated):
    """Started at p, chains are at p after a sweep: every x, and the odd layers' means: 5 s.e."""
    model = random_dbm(9, visible, layers)
    exact = enumerated(model)
    p = exact.log_joint.exp().flatten().detach()
    n = 40_000
    torch.manual_seed(0)
    start = p.multinomial(n, replacement=True)
    even = torch.cat([h[start] for h in exact.states[::2]], 1)
    moved = model.gibbs(even, 1)
    assert ((moved == 0) | (moved == 1)).all()
    code = (moved[:, :visible] @ 2.0 ** torch.arange(visible - 1, -1, -1).double()).long()
    share = torch.bincount(code, minlength=2**visible) / n
    expected = exact.log_px.exp()
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()
    for found, state in zip(model.complete(moved), exact.states, strict=True):
        se = found.std(0) / n**0.5
        assert ((found.mean(0) - p @ state).abs() < 5 * se).all()
    assert (moved != even).any(1).double().mean() > 0.3


def test_low_precision_keeps_means_near_and_types_as_they_are(random_dbm):
    """Weights of 8 bits and log odds of 8: means move by less than 0.015."""
    model = random_dbm(9, 30, (20, 10), scale=0.3).float()
    x = torch.rand(50, 30).round()
    for plain, low in zip(model.mean_field(x, 10), model.mean_field(x.bfloat16(), 10), strict=True):
        assert low.dtype == torch.bfloat16
        assert (plain - low.float()).abs().max() < 0.015
    even = torch.rand(50, 40).round().bfloat16()
    moved = model.gibbs(even, 2)
    assert moved.dtype == torch.bfloat16
    assert ((moved == 0) | (moved == 1)).all()
    for plain, low in zip(model.complete(moved.float()), model.complete(moved), strict=True):
        torch.testing.assert_close(low.float(), plain, atol=0.015, rtol=0)


@pytest.mark.statistical
def test_samples_follow_the_model(random_dbm, enumerated, all_binary):
    model = random_dbm(10, 4, (3, 2))
    torch.manual_seed(0)
    means = model.sample(20_000, sweeps=50)
    expected = enumerated(model).log_px.exp() @ all_binary(4)
    assert ((means.mean(0) - expected).abs() < 5 * means.std(0) / len(means) ** 0.5).all()


@shapes
def test_composed_inputs_are_halves_of_those_of_pretraining(visible, layers, random_dbm):
    """In the middle the mean of what both RBMs give, at the ends what the one gives."""
    model = random_dbm(11, visible, layers)
    torch.manual_seed(0)
    states = [torch.rand(9, n).double().round() for n in (visible, *layers)]
    pairs = [model.pair(layer) for layer in range(1, len(states))]
    first = dbm._input(0, states, list(model.weights), model._totals())
    composed = [first, *model.inputs(states)]
    torch.testing.assert_close(composed[0], pairs[0].down(states[1]))
    torch.testing.assert_close(composed[-1], pairs[-1].up(states[-2]))
    for layer in range(1, len(layers)):
        below, above = pairs[layer - 1].up(states[layer - 1]), pairs[layer].down(states[layer + 1])
        torch.testing.assert_close(composed[layer], (below + above) / 2)


def test_first_and_last_pair_double_one_direction_and_middle_ones_both(random_dbm):
    """As the paper tells it: v twice at the bottom, the top twice at the last, halved between."""
    model = random_dbm(12, 4, (3, 4, 2))
    first, middle, last = (model.pair(layer) for layer in (1, 2, 3))
    w1, w2, w3 = model.weights
    v, h1, h2, h3 = (torch.rand(5, n).double().round() for n in (4, 3, 4, 2))
    b, c, d = model.biases, model.biases, model.downward
    torch.testing.assert_close(first.up(v), torch.cat([v, v], 1) @ torch.cat([w1, w1]) + 2 * c[1])
    torch.testing.assert_close(first.down(h1), h1 @ w1.t() + b[0])
    torch.testing.assert_close(middle.up(h1), h1 @ (2 * w2) + 2 * c[2])
    torch.testing.assert_close(middle.down(h2), h2 @ (2 * w2).t() + 2 * d[0])
    torch.testing.assert_close(last.up(h2), h2 @ w3 + c[3])
    torch.testing.assert_close(
        last.down(h3), torch.cat([h3, h3], 1) @ torch.cat([w3, w3], 1).t() + 2 * d[1]
    )


def test_a_pair_trains_the_machine_itself(random_dbm):
    """Its parameters are the model's, and its `contrast` has the gradient −x σ(input)ᵀ."""
    model = random_dbm(13, 4, (3, 2))
    x, negative = torch.rand(6, 4).double().round(), torch.rand(5, 4).double().round()
    pair = model.pair(1)
    assert pair.couplings().weight is model.weights[0]
    pair.contrast(x, negative)
    h, g = pair.up(x).sigmoid(), pair.up(negative).sigmoid()
    torch.testing.assert_close(model.weights[0].grad, -x.t() @ h / 6 + negative.t() @ g / 5)
    torch.testing.assert_close(model.biases[1].grad, -h.mean(0) + g.mean(0))
    torch.testing.assert_close(model.biases[0].grad, -x.mean(0) + negative.mean(0))


def test_ascending_is_one_doubled_pass(random_dbm):
    model = random_dbm(14, 4, (3, 2))
    x = torch.rand(6, 4).double()
    h1 = (2 * (x @ model.weights[0] + model.biases[1])).sigmoid()
    assert torch.equal(model.ascend(x, 0), x)
    torch.testing.assert_close(model.ascend(x, 1), h1.detach())
    h2 = (h1 @ model.weights[1] + model.biases[2]).sigmoid()
    torch.testing.assert_close(model.ascend(x, 2), h2.detach())


@pytest.mark.parametrize("layers", [[], [500], [3, 0]])
def test_one_layer_is_no_deep_machine(layers):
    with pytest.raises(ValueError, match=r"two or more hidden layers .* it is an RBM"):
        DBM(4, layers=layers)


def test_bad_input(random_dbm):
    model = random_dbm(0)
    x = torch.zeros(1, 5).double()
    with pytest.raises(ValueError, match="iterations ≥ 1"):
        model.mean_field(x, 0)
    with pytest.raises(ValueError, match=r"damping in \[0, 1\)"):
        model.mean_field(x, 1, damping=1.0)
    with pytest.raises(ValueError, match="k ≥ 0 sweeps"):
        model.gibbs(torch.zeros(1, 8).double(), -1)
    with pytest.raises(ValueError, match="layer from 1 to 2"):
        model.pair(3)
