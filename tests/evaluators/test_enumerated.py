"""Enumerated likelihoods of Boltzmann machines against a sum over all states."""

import pytest
import torch

from hwbench.evaluators.enumerated import EnumeratedBoltzmann
from hwbench.models.dbm import DBM
from hwbench.models.rbm import RBM
from hwbench.protocols import TestSplit


@pytest.mark.parametrize(("visible", "layers"), [(5, (4, 3)), (2, (6, 3)), (4, (3, 2, 2))])
def test_it_is_the_sum_over_all_states(visible, layers, random_dbm, enumerated, all_binary):
    """With the odd side smaller and larger than the even one, and three layers."""
    model = random_dbm(0, visible, layers)
    every = enumerated(model)
    x = all_binary(visible)
    found = EnumeratedBoltzmann()(model, TestSplit(x), seed=0)
    assert found.diagnostics["log_z"] == pytest.approx(every.log_z.item())
    expected = every.log_px.mean().item()
    assert found.metrics["log_likelihood"].value == pytest.approx(expected, abs=1e-10)
    assert found.metrics["log_likelihood"].kind == "exact"
    assert abs(float(torch.tensor(found.per_point["log_px"]).double().exp().sum()) - 1) < 1e-5


def test_too_many_units_are_refused():
    x = TestSplit(torch.zeros(2, 30))
    with pytest.raises(ValueError, match=r"25 units cannot be enumerated \(at most 24\); use AIS"):
        EnumeratedBoltzmann()(RBM(30, hidden=25), x, seed=0)
    with pytest.raises(ValueError, match="26 units cannot be enumerated"):
        EnumeratedBoltzmann()(DBM(30, layers=[3, 26]), x, seed=0)
