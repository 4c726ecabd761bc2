import itertools

import pytest
import torch

from hwbench.models.rbm import RBM
from hwbench.protocols import TrainSplit


def all_binary(d):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d))).double()


@pytest.fixture
def rbm():
    torch.manual_seed(1)
    model = RBM(5, hidden=4).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.8)
    return model


def joint(model):
    """Log p(x, h) for every x (rows) and h (columns), by the energy alone."""
    d, n = model.weight.shape
    x, h = all_binary(d)[:, None].expand(-1, 2**n, -1), all_binary(n).expand(2**d, -1, -1)
    minus_energy = -model.energy(x, h).detach()
    return minus_energy - minus_energy.logsumexp((0, 1)), minus_energy


def test_free_energy_and_log_z_are_sums_over_hidden_states(rbm):
    _, minus_energy = joint(rbm)
    torch.testing.assert_close(rbm.free_energy(all_binary(5)), -minus_energy.logsumexp(1))
    torch.testing.assert_close(rbm.log_partition(), minus_energy.logsumexp((0, 1)))


@pytest.mark.parametrize(("visible", "hidden"), [(15, 3), (3, 15)])
def test_log_z_from_either_side(visible, hidden):
    torch.manual_seed(0)
    model = RBM(visible, hidden, init=0.5).double()
    by_visible = -model.free_energy(all_binary(visible))
    torch.testing.assert_close(model.log_partition(), by_visible.logsumexp(0))


def test_conditionals_are_those_of_the_joint(rbm):
    log_p, _ = joint(rbm)
    p = log_p.exp()
    hidden = (p / p.sum(1, keepdim=True)) @ all_binary(4)
    visible = (p / p.sum(0, keepdim=True)).t() @ all_binary(5)
    torch.testing.assert_close(rbm.hidden_logits(all_binary(5)).sigmoid(), hidden)
    torch.testing.assert_close(rbm.visible_logits(all_binary(4)).sigmoid(), visible)


@pytest.mark.statistical
def test_a_gibbs_sweep_follows_its_transition_matrix(rbm):
    """5 standard errors, for each of 32 next states from one start."""
    log_p, _ = joint(rbm)
    p = log_p.exp()
    transition = (p / p.sum(1, keepdim=True)) @ (p / p.sum(0, keepdim=True)).t()  # [x, x']
    n, start = 200_000, 19
    torch.manual_seed(0)
    x = rbm.gibbs(all_binary(5)[start].expand(n, -1), 1)
    code = (x @ 2.0 ** torch.arange(4, -1, -1).double()).long()
    share = torch.bincount(code, minlength=32) / n
    expected = transition[start]
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


@pytest.mark.statistical
def test_samples_follow_the_model(rbm):
    """Mean of the visible means, in 5 standard errors; chains are independent."""
    torch.manual_seed(0)
    means = rbm.sample(20_000, sweeps=50)
    expected = joint(rbm)[0].exp().sum(1) @ all_binary(5)
    assert ((means.mean(0) - expected).abs() < 5 * means.std(0) / len(means) ** 0.5).all()


def test_contrast_by_hand_is_the_gradient_of_the_free_energy_difference(rbm):
    torch.manual_seed(0)
    x, negative = torch.rand(7, 5).double().round(), torch.rand(3, 5).double().round()
    difference = rbm.free_energy(x).mean() - rbm.free_energy(negative).mean()
    expected = torch.autograd.grad(difference, list(rbm.parameters()))
    for _ in range(2):  # the second call must add
        value = rbm.contrast(x, negative)
        torch.testing.assert_close(value, difference.detach())
    for p, gradient in zip(rbm.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, 2 * gradient)


def test_adapt_keeps_the_means_and_starts_the_biases():
    split = TrainSplit(torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.uint8))
    model = RBM(3, hidden=2)
    model.adapt(split)
    torch.testing.assert_close(model.data_means, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(
        model.visible_bias.detach().sigmoid(), torch.tensor([0.01, 0.5, 0.99])
    )
    flat = RBM(3, hidden=2, visible_bias="zero")
    flat.adapt(split)
    assert (flat.visible_bias == 0).all()


@pytest.mark.parametrize("scale", [255.0, 1.0])
def test_grey_pixels_must_be_asked_for(scale):
    values = torch.tensor([[0.0, 0.3, 1.0]]) * scale
    with pytest.raises(ValueError, match="training pixels are grey"):
        RBM(3).adapt(TrainSplit(values, scale=scale))
    RBM(3, grey=True).adapt(TrainSplit(values, scale=scale))
    RBM(3).adapt(TrainSplit(values, scale=scale, resample=True))
    RBM(3).adapt(TrainSplit((values > 0).float() * scale, scale=scale))


def test_bad_input():
    with pytest.raises(ValueError, match="k ≥ 0 sweeps"):
        RBM(3).gibbs(torch.zeros(1, 3), -1)
    with pytest.raises(ValueError, match="too many to enumerate"):
        RBM(30, hidden=26).log_partition()
