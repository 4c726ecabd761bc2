"""Amortised learning beside the Gram matrix and its Cholesky factor alone: what no step can save.

N = 2000 dreams of 784 units, 100 points, 100 linear features, in float64 as always.
"""

import pytest
import torch

from hwbench.kernels import ExactRidge, Kernel, linear_features
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.protocols import TrainSplit
from hwbench.rules.kernel import AmortisedLearning

KERNEL = Kernel(units=100)


@pytest.fixture
def step():
    """step(**arguments): a step of the rule on a belief net of 50 units."""

    def make(**arguments):
        torch.manual_seed(0)
        model = BinaryHelmholtzMachine(784, [50], init="glorot", bias=0.0)
        rule = AmortisedLearning(samples=2000, kernel=KERNEL, ridge=0.1, **arguments)
        x = (torch.rand(100, 784) < 0.13).float()
        rule.begin(model, TrainSplit(x))
        return lambda: rule.backward(model, x)

    return make


@pytest.fixture
def reference():
    torch.manual_seed(0)
    weight, gain = 0.01 * torch.randn(784, 100), torch.ones(100)
    x = (torch.rand(2000, 784) < 0.5).float()
    width, ridge = torch.tensor(14.0), torch.tensor(0.1)

    def form():
        phi, _ = linear_features(x, x[:1], weight, gain)
        return ExactRidge(phi, KERNEL, width, ridge)

    return form


def test_a_step_with_a_frozen_kernel(at_most, step, reference):
    at_most(2.0, step(), reference, rounds=4)


def test_a_step_with_an_adaptive_kernel(at_most, step, reference):
    at_most(5.5, step(adaptive=True, validation=200), reference, rounds=4)
