"""A claim about two classifiers that no seed moves, from the spec to the page: McNemar's test."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hwbench.report import render
from hwbench.runner.job import Job
from hwbench.runner.work import work
from hwbench.spec import cases, load
from hwbench.store import Store
from hwbench.verdict.table import compare

SPEC = Path(__file__).parents[2] / "benchmarks" / "dbm" / "ocr-errors.yaml"


@pytest.mark.slow
def test_knn_and_svm_are_compared_letter_by_letter(tmp_path, monkeypatch):
    """At smoke, one seed of each; the p value is that of a binomial test of the discordant."""
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    spec, store = load(SPEC), Store(tmp_path / "results")
    rows = [{"method": "SVM"}, {"method": "k-NN"}]
    right = []
    for case in cases(spec, "smoke", rows=rows, seeds=1):
        job = Job(case, store.folder, tmp_path / "cache", "cpu")
        assert work(job, lambda news: None, lambda: False).status == "done"
        right.append(store.per_point(store.read(case))["correct"].astype(bool))
    right_by = dict(zip(("k-NN", "SVM"), right, strict=True))  # in the order of the spec
    won, lost = (
        int((right_by[a] & ~right_by[b]).sum()) for a, b in (("SVM", "k-NN"), ("k-NN", "SVM"))
    )
    assert won + lost > 0
    comparison = compare(spec, store, profile="smoke")
    (outcome,) = (c for c in comparison.claims if c.claim.id == "DL3-C2a")
    (part,) = outcome.parts
    assert part.test == (
        "McNemar's exact test between two deterministic models over 250 points "
        f"({won} against {lost})"
    )
    assert part.effect == pytest.approx((won - lost) / 250)
    exact = stats.binomtest(won, won + lost, alternative="greater").pvalue
    assert part.p == pytest.approx(exact)
    assert np.isfinite(part.interval.low)
    render([comparison], store, tmp_path / "reports", ["html"])
    assert part.test in html.unescape((tmp_path / "reports" / "index.html").read_text())
