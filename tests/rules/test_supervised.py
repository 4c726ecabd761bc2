"""Back-propagation of classifiers against closed forms and separable points."""

import math
import types
from itertools import chain, pairwise

import numpy as np
import pytest
import torch

from hwbench.models.net import Net
from hwbench.protocols import TrainSplit, ValidationSplit
from hwbench.rules.conjugate import ConjugateGradients
from hwbench.rules.supervised import Backpropagation


def ignore(fraction, note):
    pass


def exclusive_or(kind, n=200, flips=0.0, seed=0):
    draws = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=draws).round()
    y = (x[:, 0] != x[:, 1]).long()
    flip = torch.rand(n, generator=draws) < flips
    return kind(x, torch.where(flip, 1 - y, y))


def test_a_hidden_layer_learns_what_a_line_cannot():
    errors = []
    for hidden in ([], [8]):
        torch.manual_seed(0)
        model, split = Net(visible=2, classes=2, hidden=hidden, init=3.0), exclusive_or(TrainSplit)
        fit = Backpropagation(epochs=60, lr=0.5, batch_size=20)
        fit(model, split, None, 0, ignore)
        wrong = model.logits(split.values).argmax(1) != split.labels
        errors.append(wrong.float().mean().item())
    assert errors[0] > 0.2
    assert errors[1] == 0.0


def test_softmax_regression_finds_the_log_odds():
    """One binary unit: in the end p(1 | x) are the shares among the training points."""
    x = torch.tensor([0.0] * 10 + [1.0] * 10)[:, None]
    y = torch.tensor([1] * 3 + [0] * 7 + [1] * 8 + [0] * 2)
    torch.manual_seed(0)
    model = Net(visible=1, classes=2, hidden=[])
    Backpropagation(epochs=300, lr=0.5, batch_size=20)(model, TrainSplit(x, y), None, 0, ignore)
    p = model.logits(torch.tensor([[0.0], [1.0]])).softmax(1)[:, 1]
    torch.testing.assert_close(p, torch.tensor([0.3, 0.8]), atol=0.01, rtol=0)


def test_validation_points_choose_the_epoch_and_stop():
    """Labels of noise: the net with the smallest validation error met is kept, not the last."""
    torch.manual_seed(0)
    model = Net(visible=2, classes=2, hidden=[8], init=3.0)
    train = exclusive_or(TrainSplit, flips=0.4)
    held_out = exclusive_or(ValidationSplit, flips=0.3, seed=3)
    fit = Backpropagation(epochs=100, lr=2.0, batch_size=20, patience=5)
    curves = fit(model, train, held_out, 0, ignore)
    errors = [y for _, y in curves["validation/error"]]
    wrong = model.logits(held_out.values).argmax(1) != held_out.labels
    assert wrong.double().mean().item() == min(errors) < errors[-1]
    assert len(errors) == errors.index(min(errors)) + 1 + 5
    assert len(curves["train/cross_entropy"]) == len(errors)


def test_steps_are_those_of_momentum_at_a_falling_rate_with_decay_of_weights_alone():
    """Four steps of one batch each, by hand: lr (1 − t/4), Δ ← ½ Δ + ∇ + decay · W."""
    x, y = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])
    torch.manual_seed(0)
    model = Net(visible=2, classes=2, hidden=[])
    weight, bias = (p.detach().clone() for p in model.net.top.parameters())
    moves = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for t in range(4):
        wrong = ((x @ weight.t() + bias).softmax(1) - torch.eye(2)[y]) / 3
        moves[0] = 0.5 * moves[0] + wrong.t() @ x + 0.3 * weight
        moves[1] = 0.5 * moves[1] + wrong.sum(0)
        rate = 0.2 * (1 - t / 4)
        weight, bias = weight - rate * moves[0], bias - rate * moves[1]
    fit = Backpropagation(epochs=4, lr=0.2, momentum=0.5, weight_decay=0.3, batch_size=3)
    fit(model, TrainSplit(x, y), None, 0, ignore)
    torch.testing.assert_close(model.net.top.weight.detach(), weight)
    torch.testing.assert_close(model.net.top.bias.detach(), bias)


def test_labels_must_match():
    model = Net(visible=2, classes=2, hidden=[2])
    few = TrainSplit(torch.zeros(4, 2), torch.tensor([0, 1, 0]))
    good, bare = TrainSplit(few.values[:3], few.labels), ValidationSplit(few.values)
    with pytest.raises(ValueError, match="3 labels for the 4 points of the TrainSplit"):
        Backpropagation()(model, few, None, 0, ignore)
    with pytest.raises(ValueError, match="needs labels; this ValidationSplit has none"):
        Backpropagation()(model, good, bare, 0, ignore)


def cross_entropy(model, split):
    return torch.nn.functional.cross_entropy(model.logits(split.values), split.labels).item()


def test_conjugate_gradients_solve_a_quadratic_problem_in_as_many_searches_as_it_has_directions():
    """Softmax regression near its optimum is quadratic; two of its four parameters matter."""
    x = torch.tensor([0.0] * 10 + [1.0] * 10)[:, None]
    y = torch.tensor([1] * 3 + [0] * 7 + [1] * 8 + [0] * 2)
    torch.manual_seed(0)
    model = Net(visible=1, classes=2, hidden=[])
    fit = ConjugateGradients(epochs=1, searches=6, held=0, batch_size=20)
    curves = fit(model, TrainSplit(x, y), None, 0, ignore)
    p = model.logits(torch.tensor([[0.0], [1.0]])).softmax(1)[:, 1]
    torch.testing.assert_close(p, torch.tensor([0.3, 0.8]), atol=0.01, rtol=0)
    best = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert cross_entropy(model, TrainSplit(x, y)) == pytest.approx(best / 2, abs=1e-4)
    assert curves["train/cross_entropy"][0][1] > best / 2 + 0.05  # as it was before


def test_each_epoch_of_one_batch_goes_on_downhill():
    torch.manual_seed(0)
    model, split = Net(visible=2, classes=2, hidden=[8], init=3.0), exclusive_or(TrainSplit)
    fit = ConjugateGradients(epochs=12, held=3, batch_size=200)
    met = [y for _, y in fit(model, split, None, 0, ignore)["train/cross_entropy"]]
    assert all(b < a for a, b in pairwise(met))
    assert cross_entropy(model, split) < 1e-4
    assert met[0] > 1


@pytest.mark.parametrize(("epochs", "moved"), [(2, False), (3, True)])
def test_the_lower_layer_is_held_at_first(epochs, moved):
    """Its weights and the biases of all hidden layers; what is above them moves from the start."""
    torch.manual_seed(0)
    model, split = Net(visible=2, classes=2, hidden=[4, 3], init=3.0), exclusive_or(TrainSplit)
    before = {n: p.detach().clone() for n, p in model.net.named_parameters()}
    ConjugateGradients(epochs=epochs, held=2, batch_size=100)(model, split, None, 0, ignore)
    same = {n for n, p in model.net.named_parameters() if torch.equal(p, before[n])}
    assert same == (set() if moved else {"layers.0.weight", "layers.0.bias", "layers.1.bias"})


def test_minibatches_are_searched_in_turn(monkeypatch):
    """Every point once in an epoch, at most so many line searches each, from where the last ended.

    What the search returns counts, and not what it tried last.
    """
    import scipy.optimize

    met, seen, ends = [], [], []

    def fake(objective, start, **kwargs):
        objective(start + 1)
        met.append((start, kwargs["options"]))
        ends.append(start - 0.25)
        return types.SimpleNamespace(x=ends[-1])

    monkeypatch.setattr(scipy.optimize, "minimize", fake)
    split = TrainSplit(torch.arange(50.0)[:, None], torch.arange(50) % 2)
    model = Net(visible=1, classes=2, hidden=[4])
    model.net.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0][:, 0].tolist()))
    fit = ConjugateGradients(epochs=2, searches=2, held=0, batch_size=20)
    fit(model, split, None, 0, ignore)
    assert [len(batch) for batch in seen] == [20, 20, 10] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(chain.from_iterable(epoch)) == split.values[:, 0].tolist()
    assert seen[0] != seen[3]
    assert all(options == {"maxiter": 2} for _, options in met)
    for end, (start, _) in zip(ends[:-1], met[1:], strict=True):
        np.testing.assert_allclose(start, end, rtol=1e-6)
    found = torch.nn.utils.parameters_to_vector(model.net.parameters()).detach().numpy()
    np.testing.assert_allclose(found, ends[-1], rtol=1e-6)


def test_a_search_ends_after_as_many_iterations_as_it_may_take(monkeypatch):
    import scipy.optimize

    taken, inner = [], scipy.optimize.minimize

    def watched(*args, **kwargs):
        taken.append((found := inner(*args, **kwargs)).nit)
        return found

    monkeypatch.setattr(scipy.optimize, "minimize", watched)
    torch.manual_seed(0)
    model, split = Net(visible=2, classes=2, hidden=[4], init=3.0), exclusive_or(TrainSplit)
    ConjugateGradients(epochs=4, searches=2, batch_size=100)(model, split, None, 0, ignore)
    assert len(taken) == 8
    assert max(taken) == 2
