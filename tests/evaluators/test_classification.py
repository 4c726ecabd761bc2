"""Error rates and their intervals against counting and the binomial distribution."""

import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.classification import ErrorRate, binomial_interval
from hwbench.models.net import Net
from hwbench.protocols import TestSplit


def first_unit_decides():
    """A linear classifier of two classes: class 1 where the first unit is on."""
    model = Net(visible=2, classes=2, hidden=[])
    with torch.no_grad():
        model.net.top.weight.copy_(torch.tensor([[-4.0, 0.0], [4.0, 0.0]]))
        model.net.top.bias.copy_(torch.tensor([2.0, -2.0]))
    return model


def test_errors_are_counted():
    x = torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]], dtype=torch.uint8)
    split = TestSplit(x, torch.tensor([0, 1, 0, 0]))  # the third is wrong
    found = ErrorRate()(first_unit_decides(), split, seed=0)
    error, entropy = found.metrics["error"], found.metrics["cross_entropy"]
    assert (error.value, error.n, error.kind) == (0.25, 4, "exact")
    assert error.se == pytest.approx(math.sqrt(0.25 * 0.75 / 4))
    assert found.per_point["correct"].tolist() == [1, 1, 0, 1]
    assert found.per_point["correct"].dtype == np.uint8
    right, wrong = math.log1p(math.exp(-4)), math.log1p(math.exp(4))  # logits differ by 4
    assert entropy.value == pytest.approx((3 * right + wrong) / 4)
    assert found.diagnostics["error_low"] < 0.25 < found.diagnostics["error_high"]
    assert ErrorRate.better == "lower"


@pytest.mark.parametrize(("p", "n"), [(0.01, 1000), (0.1, 200), (0.5, 50)])
def test_the_interval_holds_the_share_as_often_as_it_says(p, n):
    """Coverage summed over the binomial distribution, near 95 %."""
    log_p = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
        for k in range(n + 1)
    ]
    intervals = [binomial_interval(k, n) for k in range(n + 1)]
    coverage = sum(math.exp(q) for q, (a, b) in zip(log_p, intervals, strict=True) if a <= p <= b)
    assert coverage == pytest.approx(0.95, abs=0.02)


def test_the_interval_of_no_errors_is_not_a_point():
    low, high = binomial_interval(0, 100)
    assert low == 0.0
    assert 0.03 < high < 0.04


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs labels; this TestSplit has none"),
        (torch.tensor([0, 1, 0]), "3 labels for the 4 points of the TestSplit"),
        (torch.tensor([0, 1, 2, 0]), "from 0 to 1; the TestSplit has 0 to 2"),
    ],
)
def test_labels_that_do_not_match_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        ErrorRate()(first_unit_decides(), TestSplit(torch.zeros(4, 2), labels), seed=0)
