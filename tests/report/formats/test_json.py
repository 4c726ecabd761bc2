"""A comparison as plain JSON values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report import render
from hwbench.report.formats.json import to_json
from hwbench.verdict.outcome import Comparison

from ..conftest import Example


def test_files_are_named_by_their_table(example: Example, tmp_path: Path):
    (path,) = render([example.comparison], example.store, tmp_path, ["json"])
    assert path == tmp_path / "tables/iwaer-table1.json"
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(
        json.dumps(to_json(example.comparison))
    )


def test_json_is_plain_and_complete(example: Example):
    rows = list(example.comparison.rows)
    rows[0] = replace(rows[0], difference=float("nan"))
    comparison: Comparison = replace(example.comparison, rows=tuple(rows))
    out = json.loads(json.dumps(to_json(comparison), allow_nan=False))
    assert [r["verdict"] for r in out["rows"]] == [o.verdict for o in rows]
    assert out["rows"][0]["difference"] is None
    assert out["rows"][1]["mean"] == pytest.approx(-95.014)
    assert out["rows"][1]["se"] == pytest.approx(0.078 / 5**0.5)
    assert out["rows"][1]["interval"]["level"] == 0.9
    assert [c["verdict"] for c in out["claims"]] == [c.verdict for c in comparison.claims]
    assert [[part["p"] for part in claim["parts"]] for claim in out["claims"]] == [
        [part.p for part in claim.parts] for claim in comparison.claims
    ]
    assert out["claims"][4]["parts"][0]["p"] == pytest.approx(0.25, abs=0.005)
