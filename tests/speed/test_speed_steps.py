"""Training steps beside the plain loop of `plain.py`: one thread, subnormals flushed for both."""

import pytest
import torch

from hwbench.models.dbm import DBM
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.rbm import RBM
from hwbench.models.vae import VAE
from hwbench.optimizers.decay import DecayingSGD
from hwbench.products import native
from hwbench.protocols import TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD
from hwbench.rules.bounds import ELBO, IWAE
from hwbench.rules.contrastive import ContrastiveDivergence
from hwbench.rules.reinforce import REINFORCE
from hwbench.rules.reweighted import ReweightedWakeSleep
from tests.speed.plain import PlainBeliefNet, PlainDBM, PlainIWAE, PlainRBM

SIZES = [200, 200, 10]
BOTH = ["generative", "recognition"]


@pytest.fixture
def x():
    torch.manual_seed(0)
    return (torch.rand(100, 784) < 0.13).float()  # the share of ink in binarised MNIST


def stepper(model, rule, x, optimizer=None):
    """Return a function that takes a step as the learner does."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), fused=True)
    rule.begin(model, TrainSplit(x))

    def step():
        optimizer.zero_grad(set_to_none=True)
        rule.backward(model, x)
        optimizer.step()

    return step


@pytest.mark.parametrize(
    ("rule", "random", "precision", "ratio"),
    [
        pytest.param(IWAE, [], "float32", 0.85, id="IWAE"),
        pytest.param(ELBO, [], "float32", 0.85, id="ELBO"),
        pytest.param(IWAE, BOTH, "float32", 2.1, id="IWAER"),
        pytest.param(IWAE, ["recognition"], "float32", 1.1, id="IWAER_rec"),
        pytest.param(IWAE, [], "bfloat16", 0.42, id="IWAE, bfloat16"),
        pytest.param(IWAE, BOTH, "bfloat16", 1.1, id="IWAER, bfloat16"),
        pytest.param(IWAE, ["recognition"], "bfloat16", 0.65, id="IWAER_rec, bfloat16"),
    ],
)
def test_vae(at_most, x, rule, random, precision, ratio):
    """784-400-20, k = 25, all beside the plain IWAE in float32."""
    if precision == "bfloat16" and not native(x.device):
        pytest.skip("this processor has no products in bfloat16")
    own, plain = rule(k=25), PlainIWAE()
    own.precision = precision
    at_most(ratio, stepper(VAE(784, random=random), own, x), lambda: plain.step(x))


def test_reweighted_wake_sleep(at_most, x):
    """SBN 200-200-10, K = 5."""
    plain = PlainBeliefNet([784, *SIZES])
    model = BinaryHelmholtzMachine(784, SIZES)
    at_most(0.6, stepper(model, ReweightedWakeSleep(k=5), x), lambda: plain.reweighted(x))


def test_wake_sleep(at_most, x):
    plain = PlainBeliefNet([784, *SIZES])
    own = stepper(BinaryHelmholtzMachine(784, SIZES), ReweightedWakeSleep(k=1, wake=False), x)
    at_most(0.8, own, lambda: plain.reweighted(x, 1, wake=False))


def test_reinforce(at_most, x):
    plain = PlainBeliefNet([784, *SIZES])
    rule = REINFORCE(baseline="leave-one-out", k=5)
    at_most(0.65, stepper(BinaryHelmholtzMachine(784, SIZES), rule, x), lambda: plain.reinforce(x))


@pytest.mark.parametrize(
    ("k", "persistent"),
    [
        pytest.param(1, False, id="CD-1"),
        pytest.param(25, False, id="CD-25"),
        pytest.param(1, True, id="PCD"),
    ],
)
def test_contrastive_divergence(at_most, x, k, persistent):
    """784-500."""
    plain = PlainRBM(k=k, chains=x if persistent else None)
    model = RBM(784, hidden=500)
    rule = ContrastiveDivergence(k=k, persistent=persistent, weight_decay=2e-4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    at_most(0.7, stepper(model, rule, x, optimizer), lambda: plain.step(x))


def test_joint_step_of_a_dbm(at_most, x):
    """784-500-1000: 10 mean-field iterations, 5 sweeps of 100 chains, sparsity."""
    plain, model = PlainDBM(x), DBM(784, layers=[500, 1000])
    rule = MeanFieldPCD(weight_decay=2e-4, sparsity=[0.2, 0.1])
    optimizer = DecayingSGD(model.parameters(), lr=1e-3)
    at_most(0.75, stepper(model, rule, x, optimizer), lambda: plain.step(x), rounds=8)
