"""Rows laid out as the published table is."""

from __future__ import annotations

from pathlib import Path

from hwbench.report.alignment import FIGURE_SPACE
from hwbench.report.layout import grids
from hwbench.report.section import make_section

from .conftest import TABLE, Example, make_example

PAD = FIGURE_SPACE


def test_layout_follows_show_and_leaves_no_row_out(example: Example):
    (grid,) = grids(example.comparison)
    assert grid.index == ["data", "pixels"]
    assert grid.columns == ["IWAE", "IWAER", "IWAER_rec"]
    placed = [entry.row for line in grid.lines for cell in line.cells for entry in cell]
    assert sorted(placed) == list(range(len(example.spec.rows)))
    first = grid.lines[0]
    assert first.heads == ["MNIST", "fixed"]
    assert [e.published.strip(PAD) for cell in first.cells for e in cell] == [
        "−95.182 ± 0.022",
        "−94.346 ± 0.025",
        "−94.709 ± 0.025",
    ]


def test_rows_that_share_a_place_share_a_cell(tmp_path: Path):
    text = TABLE.replace("index: [data, pixels]", "index: data")
    (grid,) = grids(make_example(tmp_path, text).comparison)
    assert [len(cell) for cell in grid.lines[0].cells] == [3, 2, 1]
    section = make_section(make_example(tmp_path, text).comparison)
    assert section.rows[0].rest == "fixed"


def test_split_starts_a_table_per_value(tmp_path: Path):
    text = TABLE.replace("index: [data, pixels], columns: method", "index: pixels, split: data")
    found = grids(make_example(tmp_path, text).comparison)
    assert [g.caption for g in found] == ["MNIST", "Omniglot"]
    assert found[0].columns == ["log likelihood"]
