"""A table with every verdict, made by hand: small, deterministic, and shaped like a real one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hwbench.report.figures import pictures
from hwbench.report.figures.canvas import Picture
from hwbench.spec import Spec, load, variants
from hwbench.store import Result, Store, StoredCurve, StoredMetric
from hwbench.verdict.facts import Flag, Method, Notice
from hwbench.verdict.outcome import ClaimOutcome, ClaimPart, Comparison, RowOutcome
from hwbench.verdict.reasons import Stated
from hwbench.verdict.statistics import Interval

TABLE = """
title: Average test log-likelihood of IWAE and IWAER
source: Table 1
metric: log_likelihood
better: higher
about: >
  Importance weighted autoencoders with random weights in both nets (IWAER), in the recognition net
  (IWAER_rec) or in neither (IWAE).
assumptions:
  - how pixels were presented is not stated; three ways are rows, the nearest baseline is calibrated
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
  - at: {data: MNIST, pixels: dynamic, method: IWAE}
    data: {pixels: dynamic}
    published: -95.182 ± 0.022
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
    text: Random recognition weights alone change nothing
    within: {a: {method: IWAER_rec}, b: {method: IWAE}, tolerance: 0.05}
  - id: IWAER-C4
    text: A penalty on the generative weights hurts
    gap: {better: {method: IWAER}, worse: {method: IWAE}}
show: {index: [data, pixels], columns: method}
figures:
  - {title: Log-likelihood by method, kind: rows, x: method, series: pixels}
  - title: Importance bound on validation images
    kind: curve
    curve: validation/bound
    y_label: bound (nats)
"""

# verdict, measured mean, sd over 5 seeds, number of seeds
OUTCOMES = [
    ("calibrated", -95.231, 0.041, 5),
    ("worse", -95.014, 0.078, 5),
    ("agrees", -94.748, 0.052, 5),
    ("incomparable", -91.42, 0.19, 5),
    ("better", -93.9, 0.11, 5),
    ("reduced", -101.3, None, 1),
    ("undecided", -118.84, 0.16, 3),
    ("missing", None, None, 0),
    ("failed", None, None, 0),
    ("unpublished", -119.62, 0.021, 5),
    ("missing", None, None, 0),
]
REASONS = {
    "calibrated": "chose pixels = fixed, the setting that the document leaves open",
    "worse": "0.67 nats below print, beyond the margin of 0.18 nats",
    "agrees": "the 90 % interval lies inside ±0.18 nats",
    "incomparable": "the nearest baseline was trained on fixed pixels",
    "better": "0.45 nats above print, beyond the margin of 0.18 nats",
    "reduced": "run at quick; only full is judged",
    "undecided": "3 seeds tell differences of 0.31 nats; the margin is 0.05 nats",
    "missing": "chardata.mat is not on this machine; put it into data/omniglot/chardata.mat",
    "failed": "diverged at step 41 200: the objective became NaN",
    "unpublished": "the document prints no number here",
}

SKIPPED = Notice("file", ("results of 2 files were skipped",))


@dataclass
class Example:
    """A comparison with its results on file."""

    comparison: Comparison
    store: Store
    spec: Spec


def make_result(spec: Spec, i: int, seed: int, profile: str, value: float) -> Result:
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
        fingerprint="0" * 64,
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
        warnings=["k̂ above 0.7 for 3 of 1000 images"] if i == 3 and seed < 2 else [],
    )


def make_samples(seed: int, n: int = 64) -> np.ndarray:
    """Return soft blobs of 28 x 28, [n, 784] float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:28, 0:28]
    centre = rng.uniform(8, 20, (n, 3, 2))
    width = rng.uniform(2, 4, (n, 3, 1, 1))
    d = (y - centre[..., 0, None, None]) ** 2 + (x - centre[..., 1, None, None]) ** 2
    return np.exp(-d / (2 * width**2)).max(1).reshape(n, 784).astype(np.float32)


def make_example(
    folder: Path,
    text: str = TABLE,
    spec_id: str = "iwaer/table1",
    below: str = "quick",
    samples: bool = False,
) -> Example:
    """Write a spec and results below `folder`; return the comparison that a judge might give.

    Args:
        below: profile of the row that is `reduced`.
        samples: whether sample images are on file.
    """
    paper, table = spec_id.split("/")
    path = folder / "benchmarks" / paper / f"{table}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"id: {spec_id}\n{text.lstrip()}", encoding="utf-8")
    spec = load(path)
    store = Store(folder / "results")
    rows = []
    for i, (verdict, mean, sd, n) in enumerate(OUTCOMES):
        row = spec.rows[i]
        profile = below if verdict == "reduced" else "full"
        results = []
        rng = np.random.default_rng(i)
        draws = rng.normal(size=n)
        if n > 1:
            draws = (draws - draws.mean()) / draws.std(ddof=1) * sd
        for seed in range(n):
            result = make_result(spec, i, seed, profile, mean + (draws[seed] if n > 1 else 0.0))
            if samples and seed == 0 and i < 4:  # what is not read from the store is not written
                store.write(result, {"samples": make_samples(i)})
            results.append(result)
        judged = spec.judged(row)
        difference = None if mean is None or judged is None else mean - judged.value
        half = None if difference is None or sd is None else 2.1 * sd * (1 + 1 / n) ** 0.5
        rows.append(
            RowOutcome(
                row=row,
                results=tuple(results),
                profile=profile if n else None,
                mean=mean,
                sd=sd,
                se_points=0.21 if n else None,
                published=judged,
                difference=difference,
                interval=None if half is None else Interval(difference - half, difference + half),
                smallest=half,
                verdict=verdict,
                reasons=(Stated(REASONS[verdict]),),
                flags={5: (Flag("score"),), 3: (Flag("changed"),), 7: (Flag("memory"),)}.get(i, ()),
                expected_seeds=5 if profile == "full" else 1,
            )
        )
    return Example(
        Comparison(spec, tuple(rows), _claims(spec), (SKIPPED,), "full"),
        store,
        spec,
    )


def _claims(spec: Spec) -> tuple[ClaimOutcome, ...]:
    test = Method("paired", (5,))
    holds = ClaimPart(
        {"data": "MNIST", "pixels": "fixed"},
        "holds",
        0.262,
        Interval(0.19, 0.33),
        0.0004,
        test,
        "full",
        (),
    )
    undecided = ClaimPart(
        {"data": "Omniglot", "pixels": "dynamic"},
        "undecided",
        0.081,
        Interval(-0.04, 0.2),
        0.14,
        Method("paired", (3,)),
        "quick",
        (Stated("the interval contains 0"),),
    )
    fails = ClaimPart(
        {},
        "fails",
        -0.31,
        Interval(-0.44, -0.18),
        0.0012,
        test,
        "full",
        (Stated("the effect has the other sign"),),
    )
    missing = ClaimPart(
        {}, "missing", None, None, None, None, None, (Stated("IWAER_rec has no result"),)
    )
    parts = [(holds, undecided), (fails,), (holds,), (missing,)]
    verdicts = ["undecided", "fails", "holds", "missing"]
    reasons = ["one part of two is undecided", "the effect has the other sign", "", "no result"]
    return tuple(
        ClaimOutcome(claim, p, v, (Stated(r),) if r else ())
        for claim, p, v, r in zip(spec.claims, parts, verdicts, reasons, strict=True)
    )


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_example(tmp_path_factory.mktemp("example"), samples=True)


@pytest.fixture(scope="session")
def drawn(example: Example) -> list[Picture]:
    return pictures(example.comparison, example.store)
