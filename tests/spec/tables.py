"""A table that tests write to disk, whole or with edits."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import settings

from hwbench import spec as sp
from hwbench.spec import SpecError, load

TABLE = """
id: demo/table
title: A table
source: Table 1
metric: log_likelihood
better: higher
defaults:
  data: {use: mnist.MNIST, pixels: fixed}
  model: {use: vae.VAE, latent: 20, hidden: [400]}
  train:
    rule: {use: bounds.IWAE, k: 25}
    optimizer: {use: Adam, lr: 1e-3}
    epochs: 500
  evaluate: {use: importance.LogLikelihood, k: 2000}
  seeds: 5
  margin: 0.18
rows:
  - {at: {data: MNIST, method: IWAE}, published: -95.182 ± 0.022}
  - {at: {data: MNIST, method: ELBO}, train: {rule: {use: bounds.ELBO}}, published: -96.50}
  - at: {data: Omniglot, method: IWAE}
    data: {use: omniglot.Omniglot}
    published: -118.771 ± 0.035
    profiles: {smoke: null, quick: {seeds: 4}}
claims:
  - {id: C1, text: better, order: {method: [IWAE, ELBO]}}
profiles:
  smoke: {train: {epochs: 2}, stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}}
  quick: {train: {epochs: 5, rule: {k: 5}}, seeds: 3, rows: [{data: MNIST}, {method: ELBO}]}
show: {index: data, columns: method}
"""


quick = settings(max_examples=40, deadline=None)


def write(folder: Path, text: str = TABLE, name: str = "demo/table.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> list[sp.Problem]:
    with pytest.raises(SpecError) as caught:
        load(write(folder, text))
    return caught.value.problems


def edited(*edits: tuple[str, str]) -> str:
    text = TABLE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    (number,) = [i for i, line in enumerate(textwrap.dedent(text).splitlines(), 1) if part in line]
    return number
