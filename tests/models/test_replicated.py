"""Replicated softmax on machines so small that all texts and hidden states can be enumerated."""

import math
from itertools import product

import pytest
import torch

from hwbench.models.replicated import ReplicatedSoftmax
from hwbench.protocols import TrainSplit

WORDS = 3
LOG_Z = {0: 1.38629436, 1: 2.79533039, 2: 4.27225365, 5: 9.04489069}


def double(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def machine():
    model = ReplicatedSoftmax(WORDS, hidden=2).double()
    with torch.no_grad():
        model.weight.copy_(
            torch.tensor([[0.7, -0.4], [-0.3, 0.9], [0.2, 0.1]], dtype=torch.float64)
        )
        model.visible_bias.copy_(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
        model.hidden_bias.copy_(torch.tensor([0.25, -0.35], dtype=torch.float64))
        model.data_means.copy_(torch.tensor([0.3, 0.3, 0.4]))
    return model


def test_the_worked_example(machine):
    for words, log_z in LOG_Z.items():
        assert machine.log_partition(words).item() == pytest.approx(log_z, abs=6e-9)
    log_p = -machine.free_energy(torch.tensor([[2.0, 1.0, 2.0]])).item()
    assert log_p == pytest.approx(3.62269055, abs=6e-9)
    ordered = log_p - machine.log_partition(5).item()
    assert ordered == pytest.approx(-5.42220013, abs=6e-9)
    orders = math.factorial(5) / (math.factorial(2) * math.factorial(2))
    assert ordered + math.log(orders) == pytest.approx(-2.02100275, abs=6e-9)


def test_log_z_is_the_sum_over_texts_and_hidden_states(machine):
    w, b, a = (p.tolist() for p in (machine.weight, machine.visible_bias, machine.hidden_bias))
    total = 0.0
    for text in product(range(WORDS), repeat=2):
        for h in product((0, 1), repeat=2):
            energy = sum(b[k] + sum(w[k][j] * h[j] for j in range(2)) for k in text)
            total += math.exp(energy + 2 * sum(a[j] * h[j] for j in range(2)))
    assert math.log(total) == pytest.approx(machine.log_partition(2).item(), abs=1e-12)


def test_texts_can_be_scaled_to_one_length(machine):
    machine.length = 100
    x = torch.tensor([[2.0, 1.0, 2.0], [0.0, 0.0, 4.0]]).double()
    same = torch.tensor([[40.0, 20.0, 40.0], [0.0, 0.0, 100.0]]).double()
    torch.testing.assert_close(machine.free_energy(x), machine.free_energy(same))
    assert machine.gibbs(x, 2).sum(1).tolist() == [100.0, 100.0]
    machine.length = "own"
    assert machine.gibbs(x, 2).sum(1).tolist() == [5.0, 4.0]


def test_bad_input_is_named():
    empty = TrainSplit(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
    with pytest.raises(
        ValueError, match="text 1 has no words, so it cannot be scaled to length: 100"
    ):
        ReplicatedSoftmax(WORDS, length=100).adapt(empty)
    ReplicatedSoftmax(WORDS).adapt(empty)
    for wrong in (-1.0, 0.5):
        with pytest.raises(ValueError, match=f"whole numbers from 0; found {wrong:g}"):
            ReplicatedSoftmax(WORDS).adapt(TrainSplit(torch.tensor([[1.0, wrong, 0.0]])))
