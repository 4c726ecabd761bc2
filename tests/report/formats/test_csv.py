"""One CSV file for each table."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwbench.report import render
from hwbench.report.formats.csv import COLUMNS, table
from hwbench.verdict.statistics import Interval

from ..conftest import TABLE, Example, make_example


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_each_row_has_a_line_with_all_digits(example: Example):
    lines = read(table(example.comparison))
    outcomes = example.comparison.rows
    assert [line["verdict"] for line in lines] == [o.verdict for o in outcomes]
    for line, outcome in zip(lines, outcomes, strict=True):
        assert {name: line[name] for name in outcome.row.at} == outcome.row.at
        assert line["n"] == str(len(outcome.results))
        if outcome.interval:
            assert float(line["measured"]) == outcome.mean
            assert float(line["difference"]) == outcome.difference
            ends = Interval(*(float(line[k]) for k in ("low", "high", "level")))
            assert ends == outcome.interval
    first = lines[0]
    assert (first["published"], first["published_error"]) == ("-95.182", "0.022")
    assert float(first["se"]) == pytest.approx(0.041 / 5**0.5)
    assert (first["spec"], first["metric"]) == ("iwaer/table1", "log_likelihood")
    assert {line["unit"] for line in lines} == {example.spec.unit} == {"nats"}
    assert (first["profile"], first["margin"]) == ("full", "0.18")


def test_what_is_no_number_is_an_empty_cell(example: Example):
    rows = (replace(example.comparison.rows[1], mean=float("nan")), example.comparison.rows[7])
    nan, missing = read(table(replace(example.comparison, rows=rows)))
    assert nan["measured"] == ""
    assert {missing[k] for k in ("measured", "se", "profile", "difference", "low", "high")} == {""}
    assert missing["n"] == "0"


def test_a_row_on_other_data_has_no_difference(example: Example):
    outcome = example.comparison.rows[1]
    case = outcome.results[0].case.model_copy(update={"stands_in_for": "mnist.MNIST"})
    away = tuple(r.model_copy(update={"case": case}) for r in outcome.results)
    (line,) = read(table(replace(example.comparison, rows=(replace(outcome, results=away),))))
    assert (line["difference"], line["low"], line["high"]) == ("", "", "")
    assert line["measured"] != ""


def test_text_is_quoted_and_names_do_not_collide(tmp_path: Path):
    """A coordinate `n` stands beside the column `n`."""
    hostile = 'a,b "c"'
    rows, claims = TABLE[: TABLE.index("claims:")], TABLE[TABLE.index("claims:") :]
    text = re.sub(r"(at: {data: \w+, )pixels", r"\1n", rows) + claims.replace("pixels", "n")
    text = text.replace("n: grey", f"n: '{hostile}'")
    comparison = make_example(tmp_path, text).comparison
    lines = read(table(comparison))
    assert [k for k in lines[0] if k not in COLUMNS] == ["data", "at_n", "method"]
    assert (lines[0]["at_n"], lines[0]["n"]) == ("fixed", "5")
    assert lines[5]["at_n"] == hostile


def test_files_are_named_by_their_table_and_draw_no_pictures_of_sections(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hwbench.report.figures.pictures", pytest.fail)
    files = render([example.comparison], example.store, tmp_path, ["csv"])
    assert files == [tmp_path / "tables/iwaer-table1.csv"]
    assert files[0].read_text(encoding="utf-8") == table(example.comparison)
