"""A benchmarks folder of one tiny spec, and a cache of the test's own."""

import textwrap

import pytest

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
show: {index: method}
"""


@pytest.fixture
def tiny_text():
    return TINY


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with `benchmarks/tiny/table.yaml`; caches stay inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "benchmarks" / "tiny" / "table.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(textwrap.dedent(TINY))
    return tmp_path


@pytest.fixture
def spec(folder):
    from hwbench.spec import load

    return load(folder / "benchmarks" / "tiny" / "table.yaml")
