"""Annealing of an RBM."""

import time

import pytest
import torch

from hwbench.evaluators.ais import Base, anneal, base_rates, temperatures
from hwbench.models.rbm import RBM


@pytest.fixture
def batch():
    return torch.rand(100, 784, generator=torch.Generator().manual_seed(0)).round()


@pytest.mark.benchmark(timer=time.process_time)
def test_annealing_14500_temperatures_takes_at_most_90_seconds(within, batch):
    """On one thread: a hundred of them, 145 times; 100 chains, 500 hidden units, float64."""
    model = RBM(784, hidden=500, init=0.05).double()
    base = Base(base_rates(model.data_means), torch.zeros(500).double())
    betas = temperatures([[0, 0.1, 100], [0.1, 1, 1]])[:-1]
    x, g = batch.double(), torch.Generator().manual_seed(0)
    within(90.0, lambda: anneal(model.couplings(), base, betas, x, g), times=145)
