"""Plots as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwbench.report import render
from hwbench.report.figures.canvas import Picture

from ..conftest import Example


def test_every_plot_of_the_page_is_a_file_that_stands_alone(
    example: Example, drawn: list[Picture], tmp_path: Path
):
    comparison = replace(example.comparison, rows=example.comparison.rows[:3])
    files = render([comparison], example.store, tmp_path, ["figures"])
    names = {
        *("published-vs-measured", "figure1", "figure2", "curve-train-objective", "curve-k_curve"),
    }
    assert {path.name for path in files} == {
        f"iwaer-table1-{name}.{suffix}" for name in names for suffix in ("svg", "png")
    }
    assert names == {p.name.removeprefix("iwaer-table1-") for p in drawn if p.kind == "svg"}
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".png":
            assert data.startswith(b"\x89PNG")
        else:
            assert b"<text" not in data  # outlines: no font is needed
