import itertools

import pytest
import torch

from hwbench.models.mixture import BernoulliMixture


def all_binary(d):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))


@pytest.mark.parametrize("visible", [8, 10])
def test_probabilities_sum_to_one(visible):
    torch.manual_seed(0)
    model = BernoulliMixture(visible, components=5).double()
    with torch.no_grad():
        model.logits.normal_(0, 3)
        model.weights.normal_()
    total = model.log_prob(all_binary(visible).double()).logsumexp(0)
    assert total.item() == pytest.approx(0.0, abs=1e-12)


def test_log_prob_is_the_textbook_formula():
    torch.manual_seed(0)
    model = BernoulliMixture(6, components=4)
    with torch.no_grad():
        model.weights.normal_()
        model.logits.normal_()
    x, mu, pi = all_binary(6), model.logits.sigmoid(), model.weights.softmax(0)
    per_component = (mu[None] ** x[:, None] * (1 - mu[None]) ** (1 - x[:, None])).prod(2)
    torch.testing.assert_close(model.log_prob(x).exp(), per_component @ pi)


def test_samples_are_component_means():
    torch.manual_seed(0)
    model = BernoulliMixture.tiny()
    mu = model.logits.detach().sigmoid()
    for row in model.sample(20):
        assert (row == mu).all(1).any()
