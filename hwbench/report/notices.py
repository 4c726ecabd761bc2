"""Warnings, with similar ones merged into one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwbench.report.words import row_label, spec_of
from hwbench.spec import label
from hwbench.typography import clean, minus
from hwbench.verdict.facts import Notice
from hwbench.verdict.outcome import Comparison, RowOutcome
from hwbench.verdict.remarks import notice_text, warning_text

Place = tuple[str, str]  # id of a spec, and coordinates of one of its rows


def merged_warnings(comparison: Comparison) -> list[str]:
    """Return the warnings of the comparison and of the runs.

    Warnings that differ only in numbers, rows or seeds become one line, which names the rows (and
    the seeds, if not all are affected).
    """
    shown = {_place(comparison, outcome): outcome for outcome in comparison.rows}
    kinds: dict[tuple[str, tuple[str, ...], Place | None], list[Notice]] = {}
    for notice in [*comparison.notices, *(n for o in comparison.rows for n in o.notices)]:
        place = notice.spec, notice.row
        apart = None if place in shown else place  # a row that is not shown keeps its own line
        kinds.setdefault((notice.kind, notice.words, apart), []).append(notice)
    lines = []
    for (_, _, apart), alike in kinds.items():
        if apart is None:
            lines.append(f"{_affected_rows(alike, shown)}: {notice_text(alike)}")
        else:
            lines += dict.fromkeys(warning_text(notice) for notice in alike)
    return [minus(clean(line)) for line in lines]


def _place(comparison: Comparison, outcome: RowOutcome) -> Place:
    return spec_of(comparison, outcome), label(outcome.row.at)


def _affected_rows(alike: Sequence[Notice], shown: Mapping[Place, RowOutcome]) -> str:
    """Return the rows that a warning concerns, and the seeds, if not all of a row are affected."""
    seeds: dict[Place, set[int]] = {}
    for notice in alike:
        own = seeds.setdefault((notice.spec, notice.row), set())
        own.update([] if notice.seed is None else [notice.seed])
    names = []
    for place, warned in seeds.items():
        every = {result.case.seed for result in shown[place].results}
        some = sorted(warned) if warned and warned != every else []
        which = f" (seed{'s' * (len(some) > 1)} {', '.join(map(str, some))})" if some else ""
        names.append(row_label(shown[place]) + which)
    whole = names == [row_label(o) for o in shown.values() if o.results]
    return f"all {len(names)} measured rows" if whole and len(names) > 1 else "; ".join(names)
