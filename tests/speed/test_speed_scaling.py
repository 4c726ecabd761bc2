"""How the cost of an IWAE step grows with each size, and of an evaluation with its samples."""

import time

import pytest
import torch

from hwbench.evaluators.importance import LogLikelihood
from hwbench.models.vae import VAE
from hwbench.protocols import TestSplit
from hwbench.rules.bounds import IWAE
from hwbench.runner import onednn

BASE = {"samples k": 10, "hidden units": 200, "batch": 50, "evaluation samples": 200, "seeds": 1}
SIZES = {
    "samples k": [5, 10, 20, 40],
    "hidden units": [100, 200, 400, 800],
    "batch": [25, 50, 100, 200],
    "evaluation samples": [100, 200, 400, 800],
    "seeds": [1, 2, 4, 8],
}


def form(sizes):
    """Return two functions: a step of every seed's model, and an evaluation of the first."""
    torch.manual_seed(0)
    models = [VAE(784, latent=20, hidden=[sizes["hidden units"]]) for _ in range(sizes["seeds"])]
    x = (torch.rand(sizes["batch"], 784) < 0.13).float()
    optimizers = [torch.optim.Adam(model.parameters(), fused=True) for model in models]
    rule = IWAE(k=sizes["samples k"])

    @onednn.products()
    def step():
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            rule.backward(model, x)
            optimizer.step()

    @onednn.products()
    def evaluate():
        LogLikelihood(k=sizes["evaluation samples"])(models[0], TestSplit(x[:20]), seed=0)

    return step, evaluate


@pytest.mark.parametrize("name", SIZES)
def test_cost_grows_no_faster_than_in_proportion(benchmark, scaling, name):
    """The exponent of a power law through the fastest of several rounds."""
    if benchmark.disabled:
        pytest.skip("nothing is timed")
    seconds = []
    for size in SIZES[name]:
        own = form(BASE | {name: size})[name == "evaluation samples"]
        own()
        times = []
        for _ in range(5):
            start = time.process_time()
            own()
            times.append(time.process_time() - start)
        seconds.append(min(times))
    exponent = scaling(name, SIZES[name], seconds)
    benchmark.extra_info.update(exponent=exponent)
    benchmark.pedantic(lambda: None, rounds=1)
    assert exponent <= 1.3
