"""The hot path of deep Boltzmann machines: a joint step of 784-500-1000, beside its products."""

import pytest
import torch

from hwbench.models.dbm import DBM
from hwbench.optimizers.decay import DecayingSGD
from hwbench.products import native
from hwbench.protocols import TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD
from hwbench.runner import onednn

ITERATIONS, SWEEPS, CHAINS = 10, 5, 100


@pytest.fixture
def batch():
    return torch.rand(100, 784, generator=torch.Generator().manual_seed(0)).round()


@onednn.products()
def products(x, w1, w2, h1, h2):
    """Only the matrix products of a step: mean field, chains, statistics."""
    v, m1, m2 = x, h1, h2
    _ = v @ w1
    for _ in range(ITERATIONS):
        _ = m2 @ w2.t()
        _ = m1 @ w2
    for _ in range(SWEEPS):
        _ = v @ w1
        _ = m2 @ w2.t()
        _ = m1 @ w1.t()
        _ = m1 @ w2
    both_v, both_1, both_2 = (torch.cat([a, a]) for a in (v, m1, m2))
    _ = both_v.t() @ both_1
    _ = both_1.t() @ both_2


@pytest.mark.parametrize(("precision", "ratio"), [("float32", 2), ("bfloat16", 1.3)])
def test_joint_step_beside_its_products(precision, ratio, at_most, batch):
    """The rest of a step costs at most as much as its products in float32."""
    low = precision == "bfloat16"
    if low and not native(torch.device("cpu")):
        pytest.skip("this processor has no products in bfloat16")
    torch.manual_seed(0)
    w1, w2 = 0.01 * torch.randn(784, 500), 0.01 * torch.randn(500, 1000)
    h1, h2 = torch.rand(100, 500).round(), torch.rand(100, 1000).round()
    model = DBM(784, layers=[500, 1000])
    rule = MeanFieldPCD(
        iterations=ITERATIONS,
        sweeps=SWEEPS,
        chains=CHAINS,
        weight_decay=2e-4,
        sparsity=[0.2, 0.1],
        precision=precision,
    )
    rule.begin(model, TrainSplit(batch))
    optimizer = DecayingSGD(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad(set_to_none=True)
        rule.backward(model, batch)
        optimizer.step()

    at_most(ratio, step, lambda: products(batch, w1, w2, h1, h2))
