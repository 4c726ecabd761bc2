"""One Markdown file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hwbench.report import render
from hwbench.report.formats.markdown import HEAD, escape, section_text
from hwbench.report.section import make_section
from hwbench.spec import Quoted

from ..conftest import Example

CELL = re.compile(r"(?<!\\)\|")  # a bar that is not escaped ends a cell


def test_every_row_and_claim_is_listed(example: Example, tmp_path: Path):
    (file,) = (
        f
        for f in render([example.comparison], example.store, tmp_path, ["markdown"])
        if f.suffix == ".md"
    )
    text = file.read_text(encoding="utf-8")
    lines = [CELL.split(line)[1:-1] for line in text.splitlines() if line.startswith("| ")]
    assert {len(line) for line in lines} == {len(HEAD)}
    verdicts = [line[-1].split()[-1] for line in lines[2:]]
    assert verdicts == [o.verdict for o in example.comparison.rows]
    assert lines[3][1:4] == [
        " −94.346 ± 0.025 ",
        " −95.014 ± 0.035 ",
        r" −0.668 \[−0.747, −0.589\] ",
    ]
    for claim in example.comparison.claims:
        assert f"{claim.verdict}" in text
        assert escape(claim.claim.text) in text


def test_a_column_of_the_quoted_table_is_no_markup(example: Example):
    quoted = Quoted.model_validate({"model": "m", "at": {"data": "a|<b>"}, "published": "1.0"})
    spec = example.spec.model_copy(update={"quoted": [quoted]})
    text = section_text(make_section(replace(example.comparison, spec=spec)))
    head, ruler, line = [line for line in text.splitlines() if line.startswith("|")][-3:]
    assert r" a\|\<b\> " in CELL.split(head)
    assert len(CELL.split(head)) == len(CELL.split(ruler)) == len(CELL.split(line))


def test_text_of_a_spec_is_no_markup(example: Example):
    hostile = "<img src=x> | [a](javascript:b) *c* `d` &amp; $e$ # f ~~g~~ \\"
    spec = example.spec.model_copy(update={"title": hostile})
    comparison = example.comparison.__class__(spec, (), (), (), None)
    first = section_text(make_section(comparison)).splitlines()[0]
    assert first == f"## {escape(hostile)}"
    assert not re.search(r"(?<!\\)(\\\\)*[<>|\[\]*`&$~]", first.removeprefix("## "))
    assert re.sub(r"\\(.)", r"\1", first) == f"## {hostile}"


def test_a_claim_on_other_data_names_them(example: Example):
    first, *rest = example.comparison.claims
    parts = [replace(p, stand_ins=(("digits.Digits", "mnist.MNIST"),)) for p in first.parts]
    claims = (replace(first, parts=parts), *rest)
    text = section_text(make_section(replace(example.comparison, claims=claims)))
    (line,) = [line for line in text.splitlines() if escape(first.claim.text) in line]
    assert line.endswith(escape("; on other data: digits.Digits") + ")")
    assert text.count("on other data") == 1
