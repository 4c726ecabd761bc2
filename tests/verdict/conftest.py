"""Specs and results made here, for tests of verdicts."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwbench.spec import Case, Row, Spec, load, variants
from hwbench.store import Failure, Result, Store, StoredMetric
from hwbench.verdict.outcome import ClaimOutcome, Comparison, RowOutcome
from hwbench.verdict.remarks import flag_text
from hwbench.verdict.table import compare


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    """Files of a test need not outlive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


STAND_INS = "stand_ins: {mnist.MNIST: [mnist.MNIST, digits.Digits]}"


def make_spec(folder: Path, rows: str, more: str = "", spec_id="demo/table", **top) -> Spec:
    """Return a spec with these rows (YAML flow mappings, one a line), claims and the like."""
    keys = {"metric": "log_likelihood", "better": "higher", **top}
    first = yaml.safe_load(rows.strip().splitlines()[0])
    text = "\n".join(
        [
            f"id: {spec_id}",
            "title: A table",
            "source: Table 1",
            *(f"{key}: {value}" for key, value in keys.items()),
            "defaults:",
            "  data: {use: mnist.MNIST, pixels: fixed}",
            "  model: {use: vae.VAE}",
            "  train: {rule: {use: bounds.ELBO}, epochs: 9}",
            "  evaluate: {use: importance.LogLikelihood, k: 50}",
            "  seeds: 5",
            "  margin: 0.5",
            "rows:",
            *(f"  - {line.strip()}" for line in rows.strip().splitlines()),
            "profiles:",
            f"  smoke: {{train: {{epochs: 1}}, seeds: 2, {STAND_INS}}}",
            f"  quick: {{train: {{epochs: 2}}, seeds: 3, {STAND_INS}}}",
            more,
            f"show: {{index: {next(iter(first['at']))}}}",
        ]
    )
    path = folder / f"{spec_id}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load(path)


class Bench:
    """A spec with a results folder to write into."""

    def __init__(self, folder: Path, rows: str, more: str = "", **keys) -> None:
        self.spec = make_spec(folder, rows, more, **keys)
        self.store = Store(folder / "results")

    def row_of(self, row: str | int) -> Row:
        """Return a row by name, or by its place where a loop fills all rows."""
        if isinstance(row, int):
            return self.spec.rows[row]
        return next(r for r in self.spec.rows if r.name == row)

    def case(self, row: str | int, seed: int, profile: str = "full", variant: int = 0) -> Case:
        return variants(self.spec, self.row_of(row), profile, seed)[variant]

    def put(self, row, values, profile="full", *, variant=0, seeds=None, arrays=None, **keys):
        """Store one result per value, for seeds 0, 1, …; a value may be a dict of metrics."""
        kind = keys.pop("kind", "estimate")
        for i, value in enumerate(values):
            case = self.case(row, seeds[i] if seeds is not None else i, profile, variant)
            metrics = value if isinstance(value, dict) else {self.spec.metric: value}
            stored = {k: StoredMetric(value=v, se=0.7, kind=kind) for k, v in metrics.items()}
            content = {"fingerprint": "now", "metrics": stored, **keys}
            result = Result(case=case, key=case.key, **content)
            assert self.store.write(result, {k: v[i] for k, v in (arrays or {}).items()})

    def fail(self, row, seed, kind="failed", profile="full", reason="it broke"):
        case = self.case(row, seed, profile)
        self.store.write_failure(Failure(case=case, key=case.key, kind=kind, reason=reason))

    def compare(self, **keys) -> Comparison:
        return compare(self.spec, self.store, **keys)

    def row(self, row: str | int = 0, **keys) -> RowOutcome:
        name = self.row_of(row).name
        return next(o for o in self.compare(**keys).rows if o.row.name == name)

    def claim(self, index: int = 0, **keys) -> ClaimOutcome:
        return self.compare(**keys).claims[index]


def marks(row: RowOutcome) -> list[str]:
    """Return a row's flags in words."""
    return [flag_text(flag) for flag in row.flags]


def spread(mean: float, sd: float, n: int = 5) -> list[float]:
    """Return n values with exactly this mean and standard deviation."""
    x = np.arange(n) - (n - 1) / 2
    return list(mean + sd * x / np.std(x, ddof=1))


ONE = "{at: {m: A}, published: -90.0}"


TWO = "{at: {m: A}, published: -90.00}\n{at: {m: B}, published: -91.50}"


def verdicts(bench: Bench) -> list[str]:
    """Return the verdicts on rows as a list of words."""
    return [row.verdict for row in bench.compare().rows]


GAP = "claims: [{id: C, text: t, gap: {better: {m: A}, worse: {m: B}}}]"


# Student (1908), after Cushny & Peebles: hours of sleep gained with two drugs, ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]


SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


FITTED = "\n".join(
    f"{{at: {{m: {m}}}, published: {v}, train: null, "
    f"fit: {{use: exemplars.ChooseK, k: [{k}]}}, seeds: 1, deterministic: true}}"
    for m, v, k in (("A", 3.0, 1), ("B", 4.0, 2))
)
