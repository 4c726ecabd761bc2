"""The model is correct, and its likelihood on the digits has not moved."""

from itertools import product
from pathlib import Path

import pytest
import torch
from treemodel.trees import ChowLiu, Tree

import hwbench
from hwbench.protocols import TrainSplit

HERE = Path(__file__).parent


def fitted(points):
    tree = Tree(visible=points.shape[1])
    ChowLiu(pseudo=1e-9)(tree, TrainSplit(points), None, 0, lambda fraction, note: None)
    return tree


def test_probabilities_sum_to_one():
    torch.manual_seed(0)
    tree = fitted((torch.rand(50, 4) < 0.4).to(torch.uint8))
    points = torch.tensor(list(product([0.0, 1.0], repeat=4)))
    assert tree.log_prob(points).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_a_chain_is_found_again():
    """x_2 copies x_1, and x_3 copies x_2, with probability 0.9, so no edge joins x_1 and x_3."""
    torch.manual_seed(0)
    x = torch.zeros(4000, 3)
    x[:, 0] = torch.bernoulli(torch.full((4000,), 0.5))
    for d in (1, 2):
        copies = torch.rand(4000) < 0.9
        x[:, d] = torch.where(copies, x[:, d - 1], 1 - x[:, d - 1])
    assert fitted(x.to(torch.uint8)).parent.tolist() == [0, 0, 1]


def test_the_likelihood_has_not_moved(hwbench_gate, tmp_path):
    results = hwbench.run(
        str(HERE / "trees.yaml"), profile="smoke", plugins=["treemodel"], results=tmp_path
    )
    values = {r.case.seed: r.metrics["log_likelihood"].value for r in results}
    hwbench_gate("trees", values, better="higher", tolerance=1e-3)
