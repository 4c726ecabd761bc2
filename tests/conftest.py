"""A benchmarks folder of one tiny spec with a cache of its own; small machines, enumerated."""

import itertools
import textwrap
from types import SimpleNamespace

import jaxtyping
import pytest
import torch

from hwbench.datasets import files
from hwbench.numerics import set_arithmetic

set_arithmetic()  # as every run does

TINY = """
id: tiny/table
title: A tiny table
source: nowhere
aliases: [tiny]
metric: log_likelihood
better: higher
assumptions: [none worth naming]
defaults:
  data: {use: synthetic.Bars, pixels: fixed}
  model: {use: vae.VAE, latent: 2, hidden: [4]}
  train:
    rule: {use: bounds.IWAE, k: 2}
    optimizer: {use: Adam, lr: 1e-2}
    batch_size: 50
    epochs: 3
    validate: {use: importance.Bound, k: 2}
  evaluate: {use: importance.LogLikelihood, k: 16}
  seeds: 2
  margin: 0.5
rows:
  - {at: {method: IWAE}, published: -5.0 ± 0.1}
  - {at: {method: VAE}, train: {rule: {use: bounds.ELBO, k: 1}}, published: -6.0}
claims:
  - {id: T1, text: more samples help, order: {method: [IWAE, VAE]}}
profiles:
  smoke: {train: {epochs: 1}}
  quick: {seeds: 2}
show: {index: method}
"""


def pytest_terminal_summary(terminalreporter):
    """Print what the tests of faults tried, also where other processes ran them."""
    reports = [r for found in terminalreporter.stats.values() for r in found]
    told = [
        text
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == "tried" and report.when == "call"
    ]
    if told:
        terminalreporter.section("what was tried, and what was lost")
        for text in told:
            terminalreporter.write_line(text)


@pytest.fixture
def unchecked(monkeypatch):
    """Shapes are not checked: of a tiny call, that takes as long as the call.

    Tests that repeat calls thousands of times use it; the laws check the same calls.
    """
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def _unchecked_where_calls_repeat(request):
    """A statistical test calls thousands of times what the laws check."""
    if request.node.get_closest_marker("statistical"):
        request.getfixturevalue("unchecked")


@pytest.fixture
def tiny_text():
    return TINY


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with `benchmarks/tiny/table.yaml`; caches stay inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    files.forget()  # hosts that gave no answer to another test
    path = tmp_path / "benchmarks" / "tiny" / "table.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(textwrap.dedent(TINY))
    return tmp_path


@pytest.fixture
def spec(folder):
    from hwbench.spec import load

    return load(folder / "benchmarks" / "tiny" / "table.yaml")


@pytest.fixture(scope="session")
def all_binary():
    """all_binary(d): every binary vector [2^d, d] in float64, the first unit varying slowest."""
    return lambda d: torch.tensor(list(itertools.product([0.0, 1.0], repeat=d))).double()


@pytest.fixture(scope="session")
def random_dbm():
    """random_dbm(seed): a DBM in float64 with every parameter drawn from N(0, scale²)."""
    from hwbench.models.dbm import DBM

    def model(seed, visible=5, layers=(4, 3), scale=0.8):
        torch.manual_seed(seed)
        dbm = DBM(visible, layers=list(layers)).double()
        with torch.no_grad():
            for p in dbm.parameters():
                p.normal_(0, scale)
        return dbm

    return model


@pytest.fixture(scope="session")
def enumerated(all_binary):
    """enumerated(dbm): its `states` (x in front), `log_joint` [2^D, 2^H], `log_z` and `log_px`."""

    def exact(dbm):
        sizes = [dbm.visible, *dbm.layers]
        states = list(all_binary(sum(sizes)).split(sizes, 1))
        minus = -dbm.energy(states)
        log_z = minus.logsumexp(0)
        log_joint = (minus - log_z).view(2**dbm.visible, -1)
        return SimpleNamespace(
            states=states, log_z=log_z, log_joint=log_joint, log_px=log_joint.logsumexp(1)
        )

    return exact


@pytest.fixture(scope="session")
def random_dbn():
    """random_dbn(cls, visible, layers): a belief network in float64, parameters from N(0, 0.8²)."""

    def model(cls, visible, layers, seed=0):
        torch.manual_seed(seed)
        dbn = cls(visible, layers=layers).double()
        with torch.no_grad():
            for p in dbn.parameters():
                p.normal_(0, 0.8)
        return dbn

    return model


@pytest.fixture(scope="session")
def exact_dbn(all_binary):
    """exact_dbn(dbn): log p(x) of every x, and log Z of the top RBM, by enumeration."""

    def exact(dbn):
        weight, b, c = dbn.weights[-1], dbn.downward[-1], dbn.upward[-1]
        low, high = all_binary(len(b)), all_binary(len(c))
        minus = (low @ b)[:, None] + high @ c + low @ weight @ high.t()
        log_p = (minus - minus.logsumexp((0, 1))).logsumexp(1)
        for layer in reversed(range(len(dbn.layers) - 1)):
            weight, b = dbn.weights[layer], dbn.downward[layer]
            if hasattr(dbn, "down_offsets"):
                weight = weight + dbn.down_offsets[layer]
            below, above = all_binary(len(b)), all_binary(weight.shape[1])
            logits = (above @ weight.t() + b)[:, None]
            log_cond = torch.where(below == 1, logits, -logits)
            log_p = (torch.nn.functional.logsigmoid(log_cond).sum(2) + log_p[:, None]).logsumexp(0)
        return log_p.detach(), minus.logsumexp((0, 1)).detach()

    return exact
