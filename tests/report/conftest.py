"""A table on whose made results the judge gives every verdict: small and deterministic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from hwbench.report.figures import pictures
from hwbench.report.figures.canvas import Picture
from hwbench.spec import Profile, Spec, load, variants
from hwbench.store import Failure, Result, Store, StoredCurve, StoredMetric
from hwbench.verdict.outcome import Comparison
from hwbench.verdict.table import compare

TABLE = """
title: Average test log-likelihood of IWAE and IWAER
source: Table 1
metric: log_likelihood
better: higher
about: >
  Importance weighted autoencoders with random weights in both nets (IWAER), in the recognition net
  (IWAER_rec) or in neither (IWAE).
assumptions:
  - how pixels were presented is not stated; three ways are rows
  - ± is taken as the standard error over the 5 trials
defaults:
  data: {use: mnist.MNIST, pixels: fixed}
  model: {use: vae.VAE, latent: 20, hidden: [400], random: []}
  train:
    rule: {use: bounds.IWAE, k: 25}
    optimizer: {use: Adam, lr: 1e-3}
    batch_size: 100
    epochs: 500
  evaluate: {use: importance.LogLikelihood, k: 2000}
  seeds: 5
  margin: 0.18
rows:
  - at: {data: MNIST, pixels: fixed, method: IWAE}
    published: -95.182 ± 0.022
  - at: {data: MNIST, pixels: fixed, method: IWAER}
    model: {random: [generative, recognition]}
    published: -94.346 ± 0.025
  - at: {data: MNIST, pixels: fixed, method: IWAER_rec}
    model: {random: [recognition]}
    published: -94.709 ± 0.025
    incomparable: the document trains it on more images
  - at: {data: MNIST, pixels: dynamic, method: IWAE}
    data: {pixels: dynamic}
    published: -95.182 ± 0.022
    incomparable: the document trains it on fixed pixels
  - at: {data: MNIST, pixels: dynamic, method: IWAER}
    data: {pixels: dynamic}
    model: {random: [generative, recognition]}
    published: -94.346 ± 0.025
  - at: {data: MNIST, pixels: grey, method: IWAE}
    data: {pixels: grey}
    published: -95.182 ± 0.022
  - at: {data: Omniglot, pixels: dynamic, method: IWAE}
    data: {use: omniglot.Omniglot, pixels: dynamic}
    published: -118.77
    source: -118.771 ± 0.035
    judge_against: source
    margin: 0.05
  - at: {data: Omniglot, pixels: dynamic, method: IWAER}
    data: {use: omniglot.Omniglot, pixels: dynamic}
    published: -118.540 ± 0.049
    margin: 0.05
    known: memory
    note: printed in bold
    also: {active_units: 19}
  - at: {data: Omniglot, pixels: dynamic, method: IWAER_rec}
    data: {use: omniglot.Omniglot, pixels: dynamic}
    published: -118.647 ± 0.031
    margin: 0.05
  - at: {data: Omniglot, pixels: fixed, method: IWAE}
    data: {use: omniglot.Omniglot, pixels: fixed}
    also: {active_units: 18.5}
  - at: {data: Omniglot, pixels: fixed, method: IWAER}
    data: {use: omniglot.Omniglot, pixels: fixed}
    published: -118.540 ± 0.049
    margin: 0.05
claims:
  - id: IWAER-C1
    text: Random network weights improve the test log-likelihood
    order: {method: [IWAER, IWAER_rec, IWAE]}
  - id: IWAER-C2
    text: The gain on Omniglot is 0.23 nats
    gap:
      better: {data: Omniglot, method: IWAER}
      worse: {data: Omniglot, method: IWAE}
      at_least: 0.1
      published: 0.231
  - id: IWAER-C3
    text: It does not matter whether pixels are grey or drawn anew
    where: {data: MNIST, method: IWAE}
    within: {a: {pixels: grey}, b: {pixels: dynamic}, tolerance: 0.05}
  - id: IWAER-C4
    text: Random weights in both nets help on fixed pixels
    where: {data: MNIST, pixels: fixed}
    gap: {better: {method: IWAER}, worse: {method: IWAE}}
  - id: IWAER-C5
    text: Random recognition weights alone help on Omniglot
    gap: {better: {data: Omniglot, method: IWAER_rec}, worse: {data: Omniglot, method: IWAE}}
calibrate: {coordinate: pixels, by: {method: IWAER_rec}, tolerance: 0.1}
show: {index: [data, pixels], columns: method}
figures:
  - {title: Log-likelihood by method, kind: rows, x: method, series: pixels}
  - title: Importance bound on validation images
    kind: curve
    curve: validation/bound
    y_label: bound (nats)
"""

NOW = "0" * 64  # fingerprint of today's code


@dataclass(frozen=True)
class Runs:
    """What is on file of a row: results of seeds 0, 1, … with exactly this mean and sd.

    Attributes:
        verdict: what the judge says of them.
        failure: kind and reason of what seed 0 ended with, where there are no results.
    """

    verdict: str
    mean: float = 0.0
    sd: float = 0.0
    seeds: int = 0
    failure: tuple[Literal["failed", "missing"], str] | None = None


RUNS = [
    Runs("agrees", -95.231, 0.041, 5),
    Runs("worse", -95.014, 0.078, 5),
    Runs("incomparable", -94.748, 0.052, 5),
    Runs("incomparable", -91.42, 0.19, 5),
    Runs("better", -93.9, 0.11, 5),
    Runs("reduced", -101.3, 0.0, 1),
    Runs("undecided", -118.84, 0.16, 3),
    Runs("missing", failure=("missing", "chardata.mat is not on this machine")),
    Runs("calibrated", -118.63, 0.06, 5),
    Runs("unpublished", -119.62, 0.021, 5),
    Runs("failed", failure=("failed", "diverged at step 41 200: the objective became NaN")),
]
CHANGED = 3  # the row whose code has changed since; it is also on file below full


@dataclass
class Example:
    """A comparison with its results on file."""

    comparison: Comparison
    store: Store
    spec: Spec


def make_result(spec: Spec, i: int, seed: int, profile: Profile, value: float) -> Result:
    """Return a result with curves, diagnostics and a machine."""
    case = variants(spec, spec.rows[i], profile, seed)[0]
    rng = np.random.default_rng(100 * i + seed)
    epochs = np.arange(1, 41)
    curve = value - 60 * np.exp(-epochs / 3.0) - 5 * np.exp(-epochs / 15) + rng.normal(0, 0.05, 40)
    ks = [1, 5, 10, 25, 100, 500, 1000, 2000]
    estimates = [value - 3.0 / np.sqrt(k) for k in ks]
    quick = profile != "full"
    grey = case.data.get("pixels") == "grey"
    return Result(
        case=case,
        key=case.key,
        fingerprint="1" * 64 if i == CHANGED else NOW,
        metrics={
            "log_likelihood": StoredMetric(
                value=value,
                se=0.21,
                mc_se=0.004,
                n=1000 if quick else 10_000,
                k=500 if quick else 2000,
                kind="score" if grey else "estimate",
            ),
            "active_units": StoredMetric(value=18.0 + seed % 2, kind="exact"),
        },
        diagnostics={
            "ess": 81.3 + seed,
            "pareto_k": 0.41,
            "image_height": 28.0,
            "image_width": 28.0,
        },
        curves={
            "train/objective": StoredCurve(x=epochs.tolist(), y=(curve + 0.8).tolist()),
            "validation/bound": StoredCurve(x=epochs.tolist(), y=curve.tolist()),
            "k_curve": StoredCurve(x=ks, y=estimates, se=[0.02] * len(ks)),
            "gradient_norm": StoredCurve(x=[1.0, 2.0], y=[3.0, 1.0]),
        },
        seconds={"train": 5025.0 + seed, "evaluate": 74.0},
        steps_per_second=412.0,
        peak_memory_mb=812.0,
        machine={
            "device": "NVIDIA H200",
            "threads": 1,
            "dtype": "float32",
            "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"},
        },
        commit="0123abc",
        started=f"2026-01-0{1 + seed}T10:00:00+00:00",
        warnings=["k̂ above 0.7 for 3 of 1000 images"] if i == CHANGED and seed < 2 else [],
    )


def make_samples(seed: int, n: int = 64) -> np.ndarray:
    """Return soft blobs of 28 x 28, [n, 784] float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:28, 0:28]
    centre = rng.uniform(8, 20, (n, 3, 2))
    width = rng.uniform(2, 4, (n, 3, 1, 1))
    d = (y - centre[..., 0, None, None]) ** 2 + (x - centre[..., 1, None, None]) ** 2
    return np.exp(-d / (2 * width**2)).max(1).reshape(n, 784).astype(np.float32)


def made_values(runs: Runs, i: int) -> list[float]:
    """Return one value for each seed, with exactly the mean and standard deviation wanted."""
    draws = np.random.default_rng(i).normal(size=runs.seeds)
    if runs.seeds < 2:
        return [runs.mean] * runs.seeds
    return list(runs.mean + runs.sd * (draws - draws.mean()) / draws.std(ddof=1))


def make_example(
    folder: Path,
    text: str = TABLE,
    spec_id: str = "iwaer/table1",
    below: Profile = "quick",
    samples: bool = False,
) -> Example:
    """Write a spec and results below `folder`; return what the judge says of them.

    Args:
        below: profile of the row that is `reduced`.
        samples: whether sample images are on file.
    """
    path = folder / "benchmarks" / f"{spec_id}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"id: {spec_id}\n{text.lstrip()}", encoding="utf-8")
    spec = load(path)
    store = Store(folder / "results")
    for i, runs in enumerate(RUNS):
        profile: Profile = below if runs.verdict == "reduced" else "full"
        for seed, value in enumerate(made_values(runs, i)):
            images = {"samples": make_samples(i)} if samples and seed == 0 and i < 4 else None
            store.write(make_result(spec, i, seed, profile, value), images)
        if runs.failure is not None:
            kind, reason = runs.failure
            case = variants(spec, spec.rows[i], "full", 0)[0]
            store.write_failure(Failure(case=case, key=case.key, kind=kind, reason=reason))
    store.write(make_result(spec, CHANGED, 0, below, -101.1))
    (store.folder / spec_id / "unreadable").mkdir(exist_ok=True)
    (store.folder / spec_id / "unreadable" / "full-0.json").write_text("{", encoding="utf-8")
    return Example(compare(spec, store, fingerprint=lambda case: NOW), store, spec)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_example(tmp_path_factory.mktemp("example"), samples=True)


@pytest.fixture(scope="session")
def drawn(example: Example) -> list[Picture]:
    return pictures(example.comparison, example.store)
