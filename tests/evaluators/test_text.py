"""Perplexity against exact partition functions and integrals; retrieval against a loop."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from hwbench.datasets.newsgroups import TopicTexts
from hwbench.evaluators.text import AnnealedPerplexity, Perplexity, Retrieval, anneal_texts
from hwbench.models.replicated import ReplicatedSoftmax
from hwbench.models.topics import LatentDirichlet
from hwbench.numerics import generator, log_mean_exp
from hwbench.protocols import TestSplit
from hwbench.rules.topics import VariationalTopics

SIGMA = 4.0


@pytest.fixture(scope="module")
def machine():
    torch.manual_seed(0)
    model = ReplicatedSoftmax(6, hidden=4, init=0.7)
    with torch.no_grad():
        model.hidden_bias.normal_(0, 0.3)
        model.visible_bias.normal_(0, 0.5)
    model.data_means.copy_(torch.arange(1.0, 7.0))
    return model


def test_annealing_finds_log_z_of_each_length(machine):
    lengths, chains = torch.tensor([1, 3, 8]), 400
    double, betas = machine.double(), torch.linspace(0, 1, 101, dtype=torch.float64)
    with torch.no_grad():
        log_w = anneal_texts(double, lengths, chains, betas, generator(0, "test"))
    machine.float()
    for words, column in zip(lengths.tolist(), log_w.T, strict=True):
        found, exact = log_mean_exp(column), double.log_partition(words)
        w = (column - found).exp()
        assert abs(found - exact) < SIGMA * w.std() / math.sqrt(chains)


def test_perplexity_is_that_of_the_exact_probabilities(machine):
    x = torch.tensor([[1.0, 0, 2, 0, 0, 0], [0, 3, 0, 0, 1, 4]])
    found = AnnealedPerplexity(chains=400, schedule=[[0, 1, 200]])(machine, TestSplit(x), seed=0)
    log_z = torch.tensor([machine.log_partition(m) for m in (3, 8)])
    exact = (-machine.free_energy(x).detach() - log_z) / x.sum(1)
    assert found.metrics["perplexity"].value == pytest.approx(math.exp(-exact.mean()), rel=2e-3)
    assert found.metrics["nats_per_word"].kind == "estimate"


def test_one_topic_is_the_unigram_model():
    splits = TopicTexts().load(0)
    model = LatentDirichlet(visible=60, topics=1)
    VariationalTopics(iterations=1, smoothing=1.0)(model, splits.train, None, 0, lambda f, n: None)
    x = splits.test.values
    expected = x @ model.shares[0].log()
    torch.testing.assert_close(model.bound(x), expected, rtol=1e-5, atol=1e-3)
    found = Perplexity()(model, splits.test, seed=0).metrics["perplexity"]
    assert found.kind == "exact"
    assert found.value == pytest.approx(math.exp(-(expected / x.sum(1)).mean()), rel=1e-4)


def test_the_bound_of_two_topics_is_below_the_integral():
    model = LatentDirichlet(visible=3, topics=2, prior=0.6)
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    model.keep(shares)
    x = torch.tensor([[3.0, 1, 0], [1, 1, 4], [0, 0, 1]])
    bounds = model.bound(x.double())
    theta = torch.from_numpy(stats.beta.ppf((np.arange(20_000) + 0.5) / 20_000, 0.6, 0.6))[:, None]
    mixed = theta * shares[0] + (1 - theta) * shares[1]  # [20 000, V]
    exact = (mixed.log() @ x.double().t()).exp().mean(0).log()
    assert (bounds < exact).all()
    assert (bounds > exact - 0.5).all()


class Fixed(LatentDirichlet):
    """Represents texts by themselves."""

    def represent(self, x):
        return x


def test_retrieval_against_a_loop():
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(30, 4, generator=draws)  # no two cosines are equal
    labels = torch.arange(30) % 3
    found = Retrieval()(Fixed(4), TestSplit(x, labels), seed=0)
    total, reached = [], []
    for q in range(30):
        cosines = torch.cosine_similarity(x[q].double(), x.double(), dim=1)
        order = [i for i in cosines.argsort(descending=True, stable=True).tolist() if i != q]
        hits, precisions = 0, []
        for rank, i in enumerate(order, 1):
            if labels[i] == labels[q]:
                hits += 1
                precisions.append(hits / rank)
        total.append(np.mean(precisions))
        reached.append(precisions[-1])
    assert found.metrics["retrieval_map"].value == pytest.approx(np.mean(total), abs=1e-12)
    curve = found.curves["precision_recall"]
    assert curve.x[-1] == 1.0
    assert curve.y[-1] == pytest.approx(np.mean(reached), abs=1e-12)


def test_bad_input_is_named(machine):
    empty = TestSplit(torch.tensor([[1.0] * 6, [0.0] * 6]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="text 1 has no words"):
        AnnealedPerplexity(chains=2)(machine, empty, seed=0)
    with pytest.raises(ValueError, match="two or more texts of a class"):
        Retrieval()(machine, TestSplit(torch.ones(2, 6), torch.tensor([0, 1])), seed=0)
    with pytest.raises(ValueError, match="this TestSplit has none"):
        Retrieval()(machine, TestSplit(torch.ones(2, 6)), seed=0)
