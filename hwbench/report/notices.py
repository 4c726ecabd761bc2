"""Warnings, those alike in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hwbench.report.typography import clean
from hwbench.report.words import row_label
from hwbench.verdict.evidence import label as compare_label
from hwbench.verdict.outcome import Comparison

NUMBER = re.compile(r"(?<![\w.\-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


def merged(texts: Sequence[str]) -> str:
    """Return texts that differ in their numbers only as one, with the range of each number.

    >>> merged(["96% of 50 points", "73% of 50 points"])
    '73 to 96% of 50 points'
    """
    slots = zip(*(NUMBER.findall(text) for text in texts), strict=True)
    ranges = []
    for slot in slots:
        low, high = min(slot, key=float), max(slot, key=float)
        ranges.append(low if float(low) == float(high) else f"{low} to {high}")
    found = iter(ranges)
    return NUMBER.sub(lambda _: next(found), texts[0])


def merged_warnings(comparison: Comparison) -> list[str]:
    """Return the warnings of the comparison and of the runs, a line for each kind.

    Of one kind are those that differ in their numbers, rows and seeds only; the line names the
    rows, and their seeds where not all of them warn.
    """
    rows = {f"{compare_label(o.row)}: ": row_label(o) for o in comparison.rows}
    entries: list[tuple[str, int | None, str]] = []
    for text in comparison.warnings:
        prefix = next((p for p in rows if text.startswith(p)), "")
        entries.append((rows.get(prefix, ""), None, text.removeprefix(prefix)))
    entries += [
        (row_label(o), r.case.seed, text)
        for o in comparison.rows
        for r in o.results
        for text in r.warnings
    ]
    kinds: dict[tuple[str, bool], list[tuple[str, int | None, str]]] = {}
    for entry in entries:
        kinds.setdefault((NUMBER.sub("#", entry[2]), bool(entry[0])), []).append(entry)
    runs = {row_label(o): {r.case.seed for r in o.results} for o in comparison.rows}
    out = []
    for (_, of_rows), found in kinds.items():
        text = merged([text for _, _, text in found])
        out.append(f"{_where(found, runs)}: {text}" if of_rows else text)
    return [clean(w) for w in out]


def _where(found: Sequence[tuple[str, int | None, str]], runs: Mapping[str, set[int]]) -> str:
    """Return which rows a warning is about, and which seeds where not all of a row."""
    seeds: dict[str, set[int]] = {}
    for row, seed, _ in found:
        seeds.setdefault(row, set()).update([] if seed is None else [seed])
    names = []
    for row, warned in seeds.items():
        some = sorted(warned) if warned and warned != runs[row] else []
        which = f" (seed{'s' * (len(some) > 1)} {', '.join(map(str, some))})" if some else ""
        names.append(row + which)
    whole = names == [row for row, ran in runs.items() if ran]
    return f"all {len(names)} measured rows" if whole and len(names) > 1 else "; ".join(names)
